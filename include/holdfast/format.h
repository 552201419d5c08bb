/*
 * The dump file (.hfd): its on-disk contract. docs/format.md is the specification in words.
 *
 * A file is a header, a sequence of blocks, and a tail. All integers are little-endian. Ids and
 * layouts below never change meaning; new sections, and new columns at the end of a section, come
 * with a new minor version, anything else with a new major one. «Reserved» fields are zero and are
 * checked; unknown section ids are skipped by length.
 *
 *     header  block  block  …  block(INDEX)  tail
 *
 * A block holds n_items consecutive records of one section, column by column. Its payload, once
 * decoded, is
 *
 *     u32 size[n_columns]                     bytes of each column
 *     column 0, column 1, …                   one after the other, no padding
 *
 * and a column is n_items values of the column's encoding:
 *
 *     U   LEB128 varint
 *     D   LEB128 varint of the difference to the value before it in this block (the first: to 0);
 *         the values never decrease
 *     Z   zigzag LEB128 varint of the difference to the value before it in this block (the first:
 *         to 0), modulo 2^64
 *     E   zigzag LEB128 varint of the difference to the value of column 0 in the same record
 *     S   string: LEB128 length, then that many bytes (UTF-8 where it is text; not terminated)
 *
 * so a block can be read without the blocks before it. The blocks of a section come in order.
 */
#pragma once
#include <stdint.h>

/* First bytes of the file and last bytes of the tail. */
#define HF_FORMAT_MAGIC      "HOLDFAST"
#define HF_FORMAT_TAIL_MAGIC "HFDUMPND"

enum {
	HF_FORMAT_MAJOR = 2,
	HF_FORMAT_MINOR = 1,
	HF_FORMAT_BLOCK_MAGIC = 0x4b424648, /* "HFBK" */
	HF_FORMAT_LITTLE_ENDIAN = 1,
	HF_FORMAT_TOKEN_SIZE = 16,
	HF_FORMAT_MAX_BLOCK = 16 << 20,      /* largest decoded or stored payload, bytes */
	HF_FORMAT_MAX_BLOCK_ITEMS = 1 << 16, /* most records in a block */
	HF_FORMAT_MAX_STRING = 64 << 10,     /* longest string, bytes */
	HF_FORMAT_MAX_COLUMNS = 16,
	HF_FORMAT_INDEX_ITEMS = 4096, /* most records in an INDEX block */
};

struct hf_file_header {
	char magic[8];        /*  0  HF_FORMAT_MAGIC */
	uint16_t major;       /*  8 */
	uint16_t minor;       /* 10 */
	uint32_t header_size; /* 12  offset of the first block, ≥ sizeof(struct hf_file_header) */
	uint8_t byte_order;   /* 16  HF_FORMAT_LITTLE_ENDIAN */
	uint8_t pointer_size; /* 17  8: of the dumped process */
	uint16_t reserved0;   /* 18  zero */
	uint32_t incompatible; /* 20  feature bits; a reader refuses what it does not know; 1.0 has
				  none */
	uint32_t compatible;   /* 24  feature bits that a reader may ignore; 1.0 has none */
	uint32_t reserved1;    /* 28  zero */
	uint64_t time_ns;      /* 32  CLOCK_REALTIME of the stop, nanoseconds since 1970 */
	uint8_t token[HF_FORMAT_TOKEN_SIZE]; /* 40  random; ties the dump to its heap profile */
	uint32_t reserved2;                  /* 56  zero */
	uint32_t crc; /* 60  CRC-32C of the header_size bytes of the header, with this field zero */
};
_Static_assert(sizeof(struct hf_file_header) == 64, "on-disk layout");

enum hf_codec {
	HF_CODEC_NONE = 0,
	HF_CODEC_ZLIB = 1, /* one RFC 1950 stream */
	HF_CODEC_LZ4 = 2,  /* one LZ4 block, without a frame; since 2.0 */
};

struct hf_block_header {
	uint32_t magic;    /*  0  HF_FORMAT_BLOCK_MAGIC */
	uint16_t section;  /*  4  enum hf_section */
	uint8_t codec;     /*  6  enum hf_codec */
	uint8_t n_columns; /*  7  ≤ HF_FORMAT_MAX_COLUMNS, at least what the section has below */
	uint64_t first_item;  /*  8  number of this section's records before this block */
	uint32_t n_items;     /* 16  1 … HF_FORMAT_MAX_BLOCK_ITEMS */
	uint32_t raw_size;    /* 20  payload decoded, bytes, ≤ HF_FORMAT_MAX_BLOCK */
	uint32_t stored_size; /* 24  payload as it follows, bytes, ≤ HF_FORMAT_MAX_BLOCK */
	uint32_t flags;       /* 28  reserved: zero */
	uint32_t reserved;    /* 32  zero */
	uint32_t crc; /* 36  CRC-32C of this header with crc zero, then of the stored payload */
};
_Static_assert(sizeof(struct hf_block_header) == 40, "on-disk layout");

/* The last 24 bytes of a complete file. */
struct hf_file_tail {
	uint64_t index_offset; /*  0  file offset of the last INDEX block; 0: the file has no block
				*/
	uint32_t reserved;     /*  8  zero */
	uint32_t crc;          /* 12  CRC-32C of this tail with crc zero */
	char magic[8];         /* 16  HF_FORMAT_TAIL_MAGIC */
};
_Static_assert(sizeof(struct hf_file_tail) == 24, "on-disk layout");

/*
 * Sections and their columns. An index (module, thread, arena, variable, object) counts the records
 * of that section from 0 in file order; «index+1» columns use 0 for none. A writer puts the
 * sections in the order of these ids, so that a cut file has the small ones whole; EDGE and MODREF
 * blocks interleave, INDEX, PROCESS, COUNTER and FINDING blocks come anywhere. A reader does not
 * rely on it.
 */
enum hf_section {
	/* S key, S value. Keys of version 1.0: program, exe, pid, ppid, uid, hostname, kernel,
	 * arch, page_size, tool (version), trigger, libc, stop_ns, snapshot ("fork", "in-place",
	 * "ptrace", "core"), rss_bytes, vm_bytes, contents ("none"). Readers take any key. */
	HF_SECTION_PROCESS = 1,
	/* D base (address of the first mapped byte), U size (to the end of its last segment), Z
	 * bias (what is added to a link-time address of the file), S path, S build id (raw bytes)
	 */
	HF_SECTION_MODULE = 2,
	/* D start, U size, U perms (1 r, 2 w, 4 x, 8 shared), U kind (enum hf_mapping_kind), U
	 * resident bytes, U file offset, S path */
	HF_SECTION_MAPPING = 3,
	/* U tid, U flags (enum hf_thread_flag), U pc, U sp, U stack_start (lowest live address),
	 * U stack_size (live bytes), U tp (thread pointer: fs base), S name */
	HF_SECTION_THREAD = 4,
	/* U thread, U number (enum hf_register), U value. Only values that point into an object, a
	 * stack or a module are written. */
	HF_SECTION_REGISTER = 5,
	/* U thread, Z address, Z value: live stack words that point into an object, a stack or a
	   module */
	HF_SECTION_STACK_WORD = 6,
	/* S allocator ("glibc 2.36"), U kind (enum hf_arena_kind), U address, U size (bytes got
	 * from the system), U live_bytes (usable bytes of objects), U live_count, U free_bytes (of
	 * free chunks, cached ones included), U free_count, U metadata_bytes (all the rest) */
	HF_SECTION_ARENA = 7,
	/* D address, U usable size, U arena. Sorted by address; no two overlap. */
	HF_SECTION_OBJECT = 8,
	/* D source object, U source offset / 8, E target object, U target offset. Strictly
	 * ascending by (source, source offset). */
	HF_SECTION_EDGE = 9,
	/* D source object, U source offset / 8, U module, U address - module base. Words of objects
	 * that point into a module: vtables, function pointers, pointers to static data. */
	HF_SECTION_MODREF = 10,
	/* U kind (enum hf_root_kind), U module+1, U thread+1, U address, U size, S name. What root
	 * words belong to: a symbol, a TLS symbol of one thread, a stack, a thread's registers, a
	 * mapping, a registered root. Only variables that have root words. */
	HF_SECTION_VARIABLE = 11,
	/* U kind (enum hf_root_kind), U variable+1, U module+1, U thread+1, Z address of the word
	 * (of a register: enum hf_register), U object, U offset into the object */
	HF_SECTION_ROOT = 12,
	/* U object, S label */
	HF_SECTION_LABEL = 13,
	/* S name, U the allocator's own figure, U what the walk found, U flags (1: must be equal; a
	 * check that fails makes the dump partial). Names: docs/format.md. */
	HF_SECTION_COUNTER = 14,
	/* U severity (enum hf_severity), U address or 0, S text: what could not be had or was found
	 * damaged. Any of severity HF_PARTIAL makes the dump partial. */
	HF_SECTION_FINDING = 15,
	/* U section, D file offset, U n_items, U first_item: the blocks before this one, in file
	 * order. The last block is an INDEX block. A long file has more of them, one after at most
	 * HF_FORMAT_INDEX_ITEMS blocks; each lists the blocks since the INDEX block before it,
	 * which is its first record, so the chain leads from the tail to every block. */
	HF_SECTION_INDEX = 16,
	/* D object, U site (the id that the heap profile's label `site` has, 0: none), U size as
	 * requested, bytes, at most the usable size. Since 1.1: U age, whole seconds from the
	 * allocation to the stop, U tid of the thread that allocated it. Strictly ascending; only
	 * objects whose allocation was recorded. */
	HF_SECTION_SITE = 17,
	/* D object, U offset into the object, S bytes: resident memory of the object, in pieces.
	 * Strictly ascending by (object, offset); pieces do not overlap and end within the usable
	 * size. Only in dumps whose process key `contents` is "all". Since 2.1. */
	HF_SECTION_CONTENT = 18,

	HF_SECTION_END, /* one past the last id of this version */
};

/* The encodings of a section's columns, a letter each; NULL: no such section in this version. */
static inline const char *hf_format_columns(unsigned section)
{
	static const char *const columns[] = {
		[HF_SECTION_PROCESS] = "SS",
		[HF_SECTION_MODULE] = "DUZSS",
		[HF_SECTION_MAPPING] = "DUUUUUS",
		[HF_SECTION_THREAD] = "UUUUUUUS",
		[HF_SECTION_REGISTER] = "UUU",
		[HF_SECTION_STACK_WORD] = "UZZ",
		[HF_SECTION_ARENA] = "SUUUUUUUU",
		[HF_SECTION_OBJECT] = "DUU",
		[HF_SECTION_EDGE] = "DUEU",
		[HF_SECTION_MODREF] = "DUUU",
		[HF_SECTION_VARIABLE] = "UUUUUS",
		[HF_SECTION_ROOT] = "UUUUZUU",
		[HF_SECTION_LABEL] = "US",
		[HF_SECTION_COUNTER] = "SUUU",
		[HF_SECTION_FINDING] = "UUS",
		[HF_SECTION_INDEX] = "UDUU",
		[HF_SECTION_SITE] = "DUUUU",
		[HF_SECTION_CONTENT] = "DUS",
	};
	return section < sizeof(columns) / sizeof(columns[0]) ? columns[section] : 0;
}

/* How many of them the first version with that section had: a block has at least these. */
static inline unsigned hf_format_least_columns(unsigned section)
{
	const char *columns = hf_format_columns(section);
	unsigned n = 0;
	while (columns && columns[n])
		n++;
	return section == HF_SECTION_SITE ? 3 : n;
}

/* "objects", "edges" … for messages; NULL: no such section in this version. */
static inline const char *hf_format_section_name(unsigned section)
{
	static const char *const names[] = {
		[HF_SECTION_PROCESS] = "process",
		[HF_SECTION_MODULE] = "modules",
		[HF_SECTION_MAPPING] = "mappings",
		[HF_SECTION_THREAD] = "threads",
		[HF_SECTION_REGISTER] = "registers",
		[HF_SECTION_STACK_WORD] = "stack words",
		[HF_SECTION_ARENA] = "arenas",
		[HF_SECTION_OBJECT] = "objects",
		[HF_SECTION_EDGE] = "edges",
		[HF_SECTION_MODREF] = "module references",
		[HF_SECTION_VARIABLE] = "variables",
		[HF_SECTION_ROOT] = "roots",
		[HF_SECTION_LABEL] = "labels",
		[HF_SECTION_COUNTER] = "counters",
		[HF_SECTION_FINDING] = "findings",
		[HF_SECTION_INDEX] = "index",
		[HF_SECTION_SITE] = "sites",
		[HF_SECTION_CONTENT] = "contents",
	};
	return section < sizeof(names) / sizeof(names[0]) ? names[section] : 0;
}

enum hf_mapping_kind {
	HF_MAPPING_OTHER = 0,  /* anonymous memory that is none of the below */
	HF_MAPPING_HEAP = 1,   /* an allocator's heap, or an object with a mapping of its own */
	HF_MAPPING_STACK = 2,  /* a thread's stack (its TLS with it) */
	HF_MAPPING_MODULE = 3, /* segment of an ELF module, .bss included */
	HF_MAPPING_FILE = 4,   /* any other file mapping */
	HF_MAPPING_SHARED = 5, /* shared memory without a regular file */
	HF_MAPPING_KERNEL = 6, /* vdso, vvar, vsyscall */
	HF_MAPPING_OWN = 7,    /* memory of the dumper */
};

enum hf_thread_flag {
	HF_THREAD_NO_REGISTERS =
		1,            /* its registers could not be had: its whole stack was scanned */
	HF_THREAD_CALLER = 2, /* the thread that asked for the dump */
	HF_THREAD_CRASHED = 4,
};

/* x86-64 registers, numbered as DWARF does (System V psABI, figure 3.36). */
enum hf_register {
	HF_REG_RAX = 0,
	HF_REG_RDX = 1,
	HF_REG_RCX = 2,
	HF_REG_RBX = 3,
	HF_REG_RSI = 4,
	HF_REG_RDI = 5,
	HF_REG_RBP = 6,
	HF_REG_RSP = 7,
	HF_REG_R8 = 8, /* … R15 = 15 */
	HF_REG_RIP = 16,
	/* 64-bit lane l (0 … 7) of vector register v (0 … 31): HF_REG_LANE0 + 8 * v + l */
	HF_REG_LANE0 = 1024,
};

enum hf_arena_kind {
	HF_ARENA_MAIN = 0,    /* the main arena */
	HF_ARENA_THREAD = 1,  /* a further arena */
	HF_ARENA_MMAPPED = 2, /* objects with a mapping of their own */
};

enum hf_root_kind {
	HF_ROOT_GLOBAL = 1, /* symbol of global or weak binding in static data */
	HF_ROOT_STATIC = 2, /* symbol of local binding, or static data that no symbol covers */
	HF_ROOT_TLS = 3,
	HF_ROOT_STACK = 4,
	HF_ROOT_REGISTER = 5,
	HF_ROOT_MAPPING = 6,    /* other writable memory */
	HF_ROOT_REGISTERED = 7, /* holdfast_register_root() */
};

enum hf_severity {
	HF_INFO = 1,
	HF_WARNING = 2,
	HF_PARTIAL = 3, /* something is missing from the dump */
};
