/*
 * Capture options: flags of `run` as keys of the HOLDFAST variable that the library reads.
 */
#pragma once
#include "cli/args.h"
#include "emit/text.h"

/* The value of HOLDFAST for the options that were given, "" if none was. HF_E_USAGE for a value
 * that the library would not understand. */
enum hf_status hf_capture_environment(
	const struct hf_args *args, struct hf_text *ret, struct hf_err *err);

/* A signal's number from "USR1", "SIGUSR1", "10", "RTMIN+3"; 0 if it is none that can be caught. */
int hf_capture_signal(const char *text);
