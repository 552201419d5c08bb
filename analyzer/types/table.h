/*
 * The types of a dump's modules, built from DWARF as far as they are asked for.
 *
 * A type is an id, 0 is none. Typedefs and qualifiers are looked through; a struct without a name
 * has the name of its typedef. Structs, unions, enums and base types of the same name, size and
 * line of declaration are one type in whatever unit or module they stand; pointers and arrays of
 * one type are one. A declaration stands for its definition, wherever that is. Members are read
 * when they are first asked for.
 *
 * DWARF is a stranger's: every loop is bounded, nesting too (HF_TYPES_DEPTH), and what cannot be
 * read is left out and counted in n_skipped.
 *
 * Other modules of the analyzer (variables of frames) make types of their own DIEs with
 * hf_types_of_die() or hf_types_of_variable(), and give them to hf_typing_set_variable()
 * (types/typing.h).
 * Thread rule: one thread at a time; it owns libdw (symbolize/debug_files.h) meanwhile.
 */
#pragma once
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "source/heap.h"
#include "symbolize/debug_files.h"
#include "types/bump.h"

enum {
	HF_TYPES_DEPTH = 32,    /* of pointers to arrays of pointers …, of structs in structs */
	HF_TYPES_MAX = 4 << 20, /* types */
	HF_TYPES_MEMBERS = 1 << 16, /* of one struct */
};

enum hf_type_kind {
	HF_TYPE_NONE,
	HF_TYPE_BASE,
	HF_TYPE_ENUM,
	HF_TYPE_POINTER,
	HF_TYPE_FUNCTION,
	HF_TYPE_STRUCT,
	HF_TYPE_CLASS,
	HF_TYPE_UNION,
	HF_TYPE_ARRAY,
};

enum hf_type_flags {
	HF_TYPE_CHAR = 1,        /* a base type of one byte */
	HF_TYPE_WORD = 2,        /* an integer that may hold a pointer */
	HF_TYPE_INCOMPLETE = 4,  /* declared, never defined */
	HF_TYPE_FILLED = 8,      /* its members are there */
	HF_TYPE_FLEXIBLE = 16,   /* its last member is an array without bounds (FILLED only) */
	HF_TYPE_HIDDEN = 32,     /* of a library whose inner names no path shows */
	HF_TYPE_STORAGE = 64,    /* bytes that hold an object of its first template argument */
	HF_TYPE_ANONYMOUS = 128, /* without a name of its own */
	HF_TYPE_VARIANT = 256,   /* a record that is `target` to people: with a header before it,
				    or with what its definition leaves out */
	HF_TYPE_TAGGED = 512,    /* its name is that of a tag that objects point to */
};

struct hf_type {
	const char *name; /* NULL of pointers and arrays: ask hf_types_name() */
	uint64_t size;    /* bytes; of an array without bounds, and where it is not known: 0 */
	uint64_t count;   /* of an array; 0: not known */
	uint32_t target;  /* of a pointer or array; 0: void. Of a VARIANT: of what */
	uint32_t member, n_members; /* in members, by offset */
	uint32_t module;
	uint8_t kind;
	uint16_t flags;
	uint32_t flex_offset,
		flex_size;  /* where elements repeat, and how large one is; 0: nowhere */
	uint32_t *slots;    /* owned by the pool: see resolve.h */
	uint32_t slots_end; /* bytes that they are for */
	uint32_t row;       /* of hf_names, + 1; 0: none yet. The user's */
	Dwarf_Die die;      /* addr NULL: none */
};

enum hf_member_flags {
	HF_MEMBER_BASE = 1, /* a base class */
	HF_MEMBER_BITS = 2, /* a bit-field */
	HF_MEMBER_PAST = 4, /* points behind the last element of an array */
};

struct hf_type_member {
	const char *name; /* "": none */
	uint64_t offset;
	uint32_t type;
	uint8_t flags;
};

struct hf_type_index; /* of a module: index.h */
struct hf_type_slot;  /* resolve.h */

struct hf_types {
	const struct hf_heap *heap;
	struct hf_debug_files *files;
	const char *cache_dir; /* of indexes; NULL: none. The user's */
	struct hf_type *at;    /* [n], at[0] is none */
	size_t n, cap;
	struct hf_type_member *members;
	size_t n_members, cap_members;
	struct hf_type_slot *slots; /* [n_slots], [0] is none */
	size_t n_slots, cap_slots;
	struct hf_type_index **indexes; /* [heap->modules.n], NULL: not asked for yet */
	struct hf_map by_die, by_key, pointers, arrays;
	struct hf_map by_offset; /* slots of words that are in no table */
	struct hf_map embedded;  /* by (type, offset): the structs that have it there, resolve.c */
	uint32_t *embedding;     /* chains of it: pairs of a type and the next pair */
	size_t n_embedding, cap_embedding;
	size_t n_embedded_types; /* of at, that are in it already */
	struct hf_map behind;    /* by (type, header) */
	struct hf_map casts;     /* handles → what they are cast to, + 1 */
	uint32_t char_type;      /* a byte, for what is made up */
	struct hf_bump pool;
	uint64_t n_skipped; /* DIEs that could not be read */
	bool no_memory;     /* something is missing for it */
};

enum hf_status hf_types_create(struct hf_types **ret, const struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_err *err);
void hf_types_destroy(struct hf_types *types);

/* The type that a type's DIE describes; module: whose DWARF it is. 0: void, or it cannot be read.
 * The index of the module is made if it was not there. */
uint32_t hf_types_of_die(struct hf_types *types, uint32_t module, const Dwarf_Die *die);
/* The type of a variable, parameter or member, by its DW_AT_type (of its abstract origin or
 * specification, where it has one). */
uint32_t hf_types_of_variable(struct hf_types *types, uint32_t module, Dwarf_Die *die);
/* A struct, class or union by its qualified name ("zoo::Animal", of C without "struct"); spaces do
 * not count. 0: no module that is indexed defines it. */
uint32_t hf_types_by_name(struct hf_types *types, const char *name);

uint32_t hf_types_pointer(struct hf_types *types, uint32_t target);
/* count 0: without bounds. */
uint32_t hf_types_array(struct hf_types *types, uint32_t target, uint64_t count);
/* A type that only has a name. */
uint32_t hf_types_named(struct hf_types *types, const char *name, enum hf_type_kind kind);

/* A record that no program defines, of members by offset, which are copied. name NULL: the variant
 * of `variant_of`. It has no size limit of its own: that of its last member. */
uint32_t hf_types_record(struct hf_types *types, const char *name, uint32_t variant_of,
	const struct hf_type_member *members, uint32_t n);
/* The variant of a type that has `header` bytes of something before it. */
uint32_t hf_types_behind(struct hf_types *types, uint32_t type, uint64_t header);

/* The same for people: without the arguments of templates that are defaults, std::string and
 * std::map<K, V> instead of what they stand for, Vec<T> instead of alloc::vec::Vec<T>. */
const char *hf_types_short_name(struct hf_types *types, uint32_t type);
/* "struct session *[]"; lives as long as the table. Never NULL ("void" for 0). */
const char *hf_types_name(struct hf_types *types, uint32_t type);
/* "struct", "pointer" … */
const char *hf_types_kind_name(enum hf_type_kind kind);
/* The members of a struct, class or union; reads them the first time. The pointer is valid until
 * the next call that makes types. */
const struct hf_type_member *hf_types_members(
	struct hf_types *types, uint32_t type, uint32_t *ret_n);
/* Template argument number i (types only) of a class; 0: none. */
uint32_t hf_types_template_argument(struct hf_types *types, uint32_t type, unsigned i);
static inline bool hf_type_is_record(const struct hf_type *t)
{
	return t->kind == HF_TYPE_STRUCT || t->kind == HF_TYPE_CLASS || t->kind == HF_TYPE_UNION;
}
