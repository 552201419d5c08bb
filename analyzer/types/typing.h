/*
 * Types of objects, from typed roots along the edges.
 *
 *     create → find variables, classes, set_variable of frames → spread → result
 *
 * An object gets a type by a pointer to it whose pointee is known; the size says whether it is one
 * element, an array of them, or something larger that starts with one. Each object keeps the type
 * with the best evidence (enum hf_typed); better evidence that comes later replaces it and spreads
 * again, so the result does not depend on the order, but for equals, where the nearest root goes
 * first, and of those as near the object whose number is least.
 *
 * What an edge needs of the object that it leads to is in one word (HF_OBJECT_…), since nearly all
 * of the time goes into waiting for memory.
 * Thread rule: as types/table.h.
 */
#pragma once
#include "source/heap.h"
#include "source/names.h"
#include "types/resolve.h"
#include "types/table.h"
#include "types/todo.h"

/* How an object's type is known; more is better. On disk as origin.id (docs/schema.md): never
 * renumber. */
enum hf_typed {
	HF_TYPED_NONE,
	HF_TYPED_BYTES,     /* a char pointer leads to it */
	HF_TYPED_OPAQUE,    /* a pointer to a struct that is nowhere defined */
	HF_TYPED_SHORT,     /* smaller than the type of the pointer to it */
	HF_TYPED_PREFIX,    /* larger, and no array of it */
	HF_TYPED_GUESS,     /* whatever evidence, but from a guessed object */
	HF_TYPED_ARRAY,     /* as large as several elements */
	HF_TYPED_SITE,      /* as most objects of its site and size */
	HF_TYPED_CONTAINER, /* a pointer to a member of it, and its size fits */
	HF_TYPED_FLEXIBLE,  /* a struct that ends with an array */
	HF_TYPED_EXACT,     /* as large as the type of the pointer to it */
	HF_TYPED_VTABLE,    /* says so itself */
	HF_TYPED_TAG,       /* says so itself, by a pointer to what describes its type */
	HF_TYPED_N
};

struct hf_cpython; /* cpython.c */
struct hf_parts;   /* parts.h */

/* A word about an object: its type, how that is known, what else a pointer to it asks for. */
enum {
	HF_OBJECT_TYPE_BITS = 22,
	HF_OBJECT_HOW_BITS = 4,
	HF_OBJECT_EXACT = 26,  /* bit: its size is what the program asked for */
	HF_OBJECT_MAPPED = 27, /* bit: it has a mapping of its own */
	HF_OBJECT_LEAF = 28,   /* bit: no edge leaves it */
	HF_OBJECT_BLANK = 29,  /* bit: … and it points into no module */
	HF_OBJECT_SIZE = 30,   /* its size in bytes, from here up */
};
/* A size that does not fit: that of the heap. */
static const uint64_t HF_OBJECT_HUGE = UINT64_MAX >> HF_OBJECT_SIZE;
_Static_assert(HF_TYPES_MAX <= 1 << HF_OBJECT_TYPE_BITS, "");
_Static_assert(HF_TYPED_N <= 1 << HF_OBJECT_HOW_BITS, "");

enum { HF_ANSWER_BITS = 12 };
/* What hf_typing_propose() made of an object: the same of all that are alike. */
struct hf_answer {
	uint64_t object, offset; /* its word before; of the pointer */
	uint32_t pointee, source;
	uint32_t type;
	uint8_t how; /* enum hf_typed */
	bool guess, valid;
};

enum { HF_KNOWN_INSIDE_BITS = 10 };
/* Is there an `inner` at that offset of an `outer`? outer 0: not asked yet. */
struct hf_known_inside {
	uint64_t offset;
	uint32_t outer, inner;
	bool yes;
};

struct hf_typing {
	struct hf_types *types;
	struct hf_heap *heap;
	uint64_t *object;        /* [n_objects] HF_OBJECT_…; an array of T where it is several */
	uint32_t *variable_type; /* [variables.n] of types */
	const char **variable_name;  /* [variables.n] or NULL */
	const char **root_name;      /* [roots.n] with the field, or NULL */
	size_t n_variables, n_roots; /* that there is room for */
	struct hf_todo now, next;    /* objects that spread, and those after them */
	bool tagged_pointers; /* the low bits of a pointer to a struct are not its own: the user's
			       */
	bool embedding_known;
	bool alone; /* what was made of an object does not hold good for others */
	struct hf_known_inside inside[1 << HF_KNOWN_INSIDE_BITS];
	struct hf_answer answer[1 << HF_ANSWER_BITS];
	struct hf_parts *parts;
	struct hf_cpython *cpython; /* NULL: none of its objects are here */
	/* results */
	struct hf_names_type *names_types;
	struct hf_names_field *names_fields;
	size_t n_names_types, cap_names_types, n_names_fields, cap_names_fields;
	struct hf_map field_rows, part_rows;
	uint32_t *object_row; /* [n_objects] index+1 of names_types; where `object` was */
	uint8_t *object_how;  /* [n_objects] enum hf_typed */
	uint32_t *variable_row, *edge_field;
	uint64_t *doubtful;
	uint64_t n_doubtful;
	uint64_t doubtful_size; /* bytes held only by doubtful edges: the analysis fills it */
};

static inline uint32_t hf_object_type(uint64_t object)
{
	return (uint32_t)object & ((1u << HF_OBJECT_TYPE_BITS) - 1);
}

static inline enum hf_typed hf_object_how(uint64_t object)
{
	return (enum hf_typed)(object >> HF_OBJECT_TYPE_BITS & ((1u << HF_OBJECT_HOW_BITS) - 1));
}

static inline bool hf_object_is(uint64_t object, unsigned bit)
{
	return object >> bit & 1;
}

static inline uint32_t hf_typing_type(const struct hf_typing *typing, uint32_t object)
{
	return hf_object_type(typing->object[object]);
}

static inline enum hf_typed hf_typing_how(const struct hf_typing *typing, uint32_t object)
{
	return hf_object_how(typing->object[object]);
}

enum hf_status hf_typing_create(
	struct hf_typing **ret, struct hf_types *types, struct hf_heap *heap, struct hf_err *err);
void hf_typing_destroy(struct hf_typing *typing);

/* Static and thread-local variables of every module that has root words or classes, by DWARF: their
 * types and names. Root words that no variable of the dump covers get one: heap->variables grows.
 */
enum hf_status hf_typing_find_variables(struct hf_typing *typing, struct hf_err *err);
/* A variable that was found otherwise (of a frame); before spreading. */
void hf_typing_set_variable(struct hf_typing *typing, uint32_t variable, uint32_t type);
/* The arrays by variable and root follow heap->variables and heap->roots when those have grown. */
enum hf_status hf_typing_grow(struct hf_typing *typing, struct hf_err *err);
/* C++ classes, by the vtables that objects point to. */
enum hf_status hf_typing_find_classes(struct hf_typing *typing, struct hf_err *err);

/* Objects of CPython, by ob_type. */
enum hf_status hf_typing_find_python(struct hf_typing *typing, struct hf_err *err);

/* Everything that follows. names: its sites may be there already. */
enum hf_status hf_typing_spread(
	struct hf_typing *typing, const struct hf_names *names, struct hf_err *err);

/* Fill types, fields, object_type, object_origin, edge_field, variable_type, variable_name,
 * root_name of names; and *ret_doubtful, a bitmap over edges for hf_analysis_init(), or NULL if
 * none is. All belong to typing; nothing can be typed any more. */
enum hf_status hf_typing_result(struct hf_typing *typing, struct hf_names *names,
	const uint64_t **ret_doubtful, struct hf_err *err);

/* Inside types/ only. A word that leads to the object at that offset says that there is a
 * `pointee`; source: the type of what the word is in, 0: none; by: how well that is known. */
void hf_typing_propose(struct hf_typing *typing, uint32_t object, uint64_t offset, uint32_t pointee,
	uint32_t source, enum hf_typed by);
/* The same for a pointer behind the last of several. */
void hf_typing_propose_past(struct hf_typing *typing, uint32_t object, uint64_t offset,
	uint32_t pointee, enum hf_typed by);
/* A union of a char * and another pointer: is it the former? What has no words that point anywhere
 * is text sooner than it is a struct of pointers that are all NULL. */
bool hf_typing_is_text(
	const struct hf_typing *typing, uint32_t object, const struct hf_type_slot *slot);
/* What an object is that starts with one of `type`, by its size. */
uint32_t hf_typing_fit(
	struct hf_typing *typing, uint32_t object, uint32_t type, enum hf_typed *ret_how);
/* The type behind a Rust trait object whose pointer is the word at offset of src, by its vtable; 0:
 * not known. */
uint32_t hf_typing_dynamic(struct hf_typing *typing, uint32_t src, uint64_t offset);
/* The variant of a class that knows where the virtual bases are, by the vtables of an object of it;
 * the class itself if it has none. */
uint32_t hf_typing_with_virtual_bases(struct hf_typing *typing, uint32_t object, uint32_t type);
/* The object is that, whatever was known. Does not spread. */
void hf_typing_replace(struct hf_typing *typing, uint32_t object, uint32_t type, enum hf_typed how);
/* The object is that, if that is better known than what it was. Spreads later if it is news. */
void hf_typing_set(struct hf_typing *typing, uint32_t object, uint32_t type, enum hf_typed how);
/* Objects that share a pointer into a module, and their size, with objects whose type is known. */
enum hf_status hf_typing_spread_tags(struct hf_typing *typing, struct hf_err *err);
/* As hf_typing_fit(), of types whose size says what their definition does not: the hash tables of
 * CPython's dicts. 0: none of those. */
uint32_t hf_cpython_fit(struct hf_typing *typing, uint32_t object, uint32_t type);
void hf_cpython_destroy(struct hf_cpython *python);
