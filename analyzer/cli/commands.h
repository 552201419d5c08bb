/*
 * Every command of `holdfast`: the table is in commands.c, a command is a file.
 */
#pragma once
#include "cli/args.h"

extern const struct hf_command hf_commands[]; /* ended by a NULL name */

/* NULL if there is none of that name. */
const struct hf_command *hf_command_find(const char *name);
/* The command whose name is nearest to a misspelt one; NULL if none is near. */
const struct hf_command *hf_command_nearest(const char *name);

/* Print to stdout. */
void hf_command_help(const struct hf_command *command);
void hf_commands_help(void);

int hf_cmd_run(const struct hf_args *args);
int hf_cmd_dump(const struct hf_args *args);
int hf_cmd_profile(const struct hf_args *args);
int hf_cmd_ctl(const struct hf_args *args);
int hf_cmd_load(const struct hf_args *args);
int hf_cmd_report(const struct hf_args *args);
int hf_cmd_who(const struct hf_args *args);
int hf_cmd_top(const struct hf_args *args);
int hf_cmd_tree(const struct hf_args *args);
int hf_cmd_refs(const struct hf_args *args);
int hf_cmd_leaks(const struct hf_args *args);
int hf_cmd_diff(const struct hf_args *args);
int hf_cmd_export(const struct hf_args *args);
int hf_cmd_symbolize(const struct hf_args *args);
int hf_cmd_sql(const struct hf_args *args);
int hf_cmd_info(const struct hf_args *args);
int hf_cmd_verify(const struct hf_args *args);
