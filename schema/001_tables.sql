-- Holdfast's database (.hfdb): tables. docs/schema.md says what every column means.
-- Conventions: addresses and sizes are INTEGER bytes; ids count from 1; NULL is "none" or "unknown".

PRAGMA application_id = 1212564546; -- 0x48464442, "HFDB"
PRAGMA user_version = 1;

CREATE TABLE meta (
	key TEXT PRIMARY KEY,
	value
) WITHOUT ROWID;

CREATE TABLE module (
	id INTEGER PRIMARY KEY,
	path TEXT NOT NULL,
	build_id TEXT,               -- lower-case hex
	base INTEGER NOT NULL,       -- address of the first mapped byte
	size INTEGER NOT NULL,
	bias INTEGER NOT NULL        -- added to a link-time address of the file
);

CREATE TABLE mapping (
	id INTEGER PRIMARY KEY,
	start INTEGER NOT NULL,
	size INTEGER NOT NULL,
	perms TEXT NOT NULL,         -- as in /proc/PID/maps: rwxp
	path TEXT NOT NULL,          -- '' for anonymous memory
	kind TEXT NOT NULL,          -- heap stack module file shared kernel own other
	rss INTEGER,                 -- resident bytes; NULL: not known (a core file)
	file_offset INTEGER NOT NULL
);

CREATE TABLE thread (
	id INTEGER PRIMARY KEY,
	tid INTEGER NOT NULL,
	name TEXT NOT NULL,
	stack_start INTEGER,         -- lowest live address
	stack_size INTEGER,          -- live bytes
	pc INTEGER,
	sp INTEGER,
	tp INTEGER,                  -- thread pointer
	registers INTEGER NOT NULL,  -- 0: could not be had, its whole stack was scanned
	caller INTEGER NOT NULL,     -- 1: asked for the dump
	crashed INTEGER NOT NULL
);

CREATE TABLE frame (
	id INTEGER PRIMARY KEY,
	thread_id INTEGER NOT NULL,
	depth INTEGER NOT NULL,      -- 0: innermost
	pc INTEGER NOT NULL,
	function TEXT,
	file TEXT,
	line INTEGER,
	module_id INTEGER
);

CREATE TABLE arena (
	id INTEGER PRIMARY KEY,
	allocator TEXT NOT NULL,     -- 'glibc 2.36'
	kind TEXT NOT NULL,          -- main thread mmapped
	addr INTEGER NOT NULL,
	size INTEGER NOT NULL,       -- bytes got from the system
	live_bytes INTEGER NOT NULL, -- usable bytes of objects
	live_count INTEGER NOT NULL,
	free_bytes INTEGER NOT NULL, -- free chunks, cached ones included
	free_count INTEGER NOT NULL,
	metadata_bytes INTEGER NOT NULL, -- all the rest
	retained_size INTEGER NOT NULL,  -- of all its objects together
	leak_bytes INTEGER NOT NULL,
	leak_count INTEGER NOT NULL,
	live_size INTEGER            -- of objects as object.size has it, as retained_size and leak_bytes do
);

CREATE TABLE type (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	size INTEGER,                -- of one element; NULL: unknown
	kind TEXT,                   -- struct class union array pointer base …
	origin TEXT NOT NULL         -- dwarf vtable tag …
);

CREATE TABLE field (
	id INTEGER PRIMARY KEY,
	type_id INTEGER NOT NULL,    -- of the holder
	offset INTEGER NOT NULL,
	name TEXT NOT NULL,          -- 'user', 'buckets[]'
	pointer INTEGER NOT NULL,    -- 0: certainly no pointer
	stride INTEGER               -- the name's [] is (word's offset - offset) / stride; NULL: it has none
);

-- How the type of an object is known.
CREATE TABLE origin (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,          -- dwarf vtable tag container site
	confidence TEXT NOT NULL,    -- certain likely guess
	note TEXT NOT NULL
);
INSERT INTO origin VALUES
	(1, 'dwarf', 'likely', 'a char pointer leads to it'),
	(2, 'dwarf', 'guess', 'a pointer to a type that is nowhere defined leads to it'),
	(3, 'dwarf', 'guess', 'smaller than the type of the pointer to it'),
	(4, 'dwarf', 'guess', 'larger than the type of the pointer to it'),
	(5, 'dwarf', 'guess', 'a pointer of an object whose type is a guess leads to it'),
	(6, 'dwarf', 'likely', 'as large as several of the type of the pointer to it, or as one behind a header'),
	(7, 'site', 'likely', 'as nearly all objects of its size and site, or tag, or what its allocating function returns'),
	(8, 'container', 'likely', 'a pointer leads to a member of it, and its size fits'),
	(9, 'dwarf', 'certain', 'a struct that ends with an array'),
	(10, 'dwarf', 'certain', 'as large as the type of the pointer to it'),
	(11, 'vtable', 'certain', 'its class is in its first word'),
	(12, 'tag', 'certain', 'it points to what describes its type: ob_type');

CREATE TABLE site (
	id INTEGER PRIMARY KEY,
	function TEXT,               -- innermost frame outside allocators
	file TEXT,
	line INTEGER,
	live_bytes INTEGER,
	live_count INTEGER,
	total_bytes INTEGER,
	total_count INTEGER,
	module_id INTEGER,           -- of that frame
	depth INTEGER                -- of that frame in site_frame
);

CREATE TABLE site_frame (
	site_id INTEGER NOT NULL,
	depth INTEGER NOT NULL,      -- 0: innermost
	function TEXT,
	file TEXT,
	line INTEGER,
	module_id INTEGER,
	pc INTEGER,
	PRIMARY KEY (site_id, depth)
) WITHOUT ROWID;

-- id is the rank by address: ORDER BY id is ORDER BY addr, and an address is found by halving the
-- range of ids (docs/schema.md has the query). Ten million rows are many bytes, so what follows from
-- other columns is generated from the columns below the line, which are mostly at their default; a
-- row that ends in defaults ends early.
CREATE TABLE object (
	id INTEGER PRIMARY KEY,
	addr INTEGER NOT NULL,
	size INTEGER NOT NULL,       -- as requested where known, else usable
	usable INTEGER AS (size + usable_extra),
	reachable INTEGER AS (depth IS NOT NULL),
	depth INTEGER,               -- edges from a root; NULL: unreachable
	root_id INTEGER,             -- the root that path starts from
	parent_id INTEGER AS (id + parent_step), -- next object towards the nearest root
	idom_id INTEGER AS (CASE idom_step WHEN 0 THEN parent_id ELSE id + idom_step END), -- immediate dominator; NULL: a root or the virtual root
	retained_size INTEGER AS (size + retained_extra),
	holder_id INTEGER AS (CASE WHEN holder_step IS NULL THEN parent_id WHEN holder_step <> 0 THEN id + holder_step END), -- next object on the best path; NULL: a root holds it, or it heads a leak
	holder_root_id INTEGER AS (coalesce(holder_root_other, root_id)), -- root of the best path; NULL: unreachable
	held_size INTEGER AS (size + held_extra),
	-- stored:
	parent_step INTEGER,         -- to the id of the parent; NULL: none
	arena_id INTEGER NOT NULL DEFAULT 1,
	held_extra INTEGER NOT NULL DEFAULT 0,
	held_count INTEGER NOT NULL DEFAULT 1,
	idom_step INTEGER,           -- 0: the parent; NULL: no object
	retained_extra INTEGER NOT NULL DEFAULT 0,
	retained_count INTEGER NOT NULL DEFAULT 1,
	type_id INTEGER,
	origin_id INTEGER NOT NULL DEFAULT 10, -- how its type is known, if it has one
	site_id INTEGER,
	age INTEGER,                 -- whole seconds from its allocation to the dump
	alloc_tid INTEGER,           -- of the thread that allocated it
	usable_extra INTEGER NOT NULL DEFAULT 0,
	holder_step INTEGER,         -- 0: no object; NULL: the parent
	holder_root_other INTEGER,   -- NULL: root_id
	idom_variable_id INTEGER,    -- the variable, where that is the immediate dominator
	label TEXT
);
-- A dominator that points to the object is also its parent: found by the edges. The others:
CREATE INDEX object_far_idom ON object (idom_id) WHERE idom_id IS NOT NULL AND idom_id IS NOT parent_id;
CREATE INDEX object_leak ON object (held_size) WHERE reachable = 0;

CREATE TABLE variable (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,          -- as root.kind
	name TEXT NOT NULL,
	module_id INTEGER,
	thread_id INTEGER,
	frame_id INTEGER,
	type_id INTEGER,
	addr INTEGER,
	size INTEGER,
	word_count INTEGER NOT NULL,   -- its root words
	direct_count INTEGER NOT NULL, -- objects that they point to
	direct_size INTEGER NOT NULL,
	retained_size INTEGER NOT NULL,
	retained_count INTEGER NOT NULL,
	held_size INTEGER NOT NULL,
	held_count INTEGER NOT NULL
);

CREATE TABLE root (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,          -- global static tls stack register mapping registered goroutine
	name TEXT NOT NULL,
	addr INTEGER,                -- of the word; NULL for a register
	object_id INTEGER NOT NULL,
	offset INTEGER NOT NULL,     -- into the object
	module_id INTEGER,
	thread_id INTEGER,
	frame_id INTEGER,
	variable_id INTEGER
);
CREATE INDEX root_object ON root (object_id);
CREATE INDEX root_variable ON root (variable_id);

CREATE TABLE edge (
	src_id INTEGER NOT NULL,
	src_offset INTEGER NOT NULL,
	dst_id INTEGER NOT NULL,
	dst_offset INTEGER NOT NULL DEFAULT 0,
	field_id INTEGER,
	PRIMARY KEY (src_id, src_offset)
) WITHOUT ROWID;
CREATE INDEX edge_dst ON edge (dst_id, src_id);

CREATE TABLE counter (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	expected INTEGER NOT NULL,   -- the allocator's own figure
	found INTEGER NOT NULL,      -- what the walk found
	must_match INTEGER NOT NULL
);

CREATE TABLE finding (
	id INTEGER PRIMARY KEY,
	severity TEXT NOT NULL,      -- info warning partial
	addr INTEGER,
	text TEXT NOT NULL
);

-- Summaries that are worked out when a dump is loaded; the views show them.

-- The objects that retain most, that hold most, and the largest: the first 100 000 of each.
CREATE TABLE stat_top_retained (rank INTEGER PRIMARY KEY, object_id INTEGER NOT NULL);
CREATE TABLE stat_top_held (rank INTEGER PRIMARY KEY, object_id INTEGER NOT NULL);
CREATE TABLE stat_top_size (rank INTEGER PRIMARY KEY, object_id INTEGER NOT NULL);

-- Nodes of the two trees with more children, or words to objects, than are read one by one.
CREATE TABLE stat_wide (
	parent_id INTEGER NOT NULL,  -- object; of a variable its id negated
	tree INTEGER NOT NULL,       -- 0: of holders, 1: of dominators
	count INTEGER NOT NULL,      -- children
	PRIMARY KEY (parent_id, tree)
) WITHOUT ROWID;
-- Their largest children, and a sample of all children.
CREATE TABLE stat_wide_child (
	parent_id INTEGER NOT NULL,
	tree INTEGER NOT NULL,
	rank INTEGER NOT NULL,       -- from 1: the largest first; from -1 down: the sample
	child_id INTEGER NOT NULL,
	PRIMARY KEY (parent_id, tree, rank)
) WITHOUT ROWID;

-- id is 0 for the objects without a type (site).
CREATE TABLE stat_type (
	id INTEGER PRIMARY KEY,
	count INTEGER NOT NULL,
	size INTEGER NOT NULL,
	retained_size INTEGER NOT NULL, -- what would go with all of them together
	leak_count INTEGER NOT NULL,
	leak_size INTEGER NOT NULL
);
CREATE TABLE stat_site (
	id INTEGER PRIMARY KEY,
	count INTEGER NOT NULL,
	size INTEGER NOT NULL,
	retained_size INTEGER NOT NULL,
	leak_count INTEGER NOT NULL,
	leak_size INTEGER NOT NULL,
	oldest INTEGER               -- age of its oldest object
);

-- Where sites are sampled: what the recorded objects of a site stand for, as far as there can be so
-- many: not more than the heap has, or than there are objects of the type or size of all of them.
CREATE TABLE stat_estimate (
	site_id INTEGER PRIMARY KEY,
	samples INTEGER NOT NULL,    -- recorded objects
	count INTEGER NOT NULL,
	size INTEGER NOT NULL
);

-- Unreachable objects; those with neither site nor type are grouped by object_size.
CREATE TABLE stat_leak (
	id INTEGER PRIMARY KEY,
	site_id INTEGER,
	type_id INTEGER,
	object_size INTEGER,
	count INTEGER NOT NULL,
	size INTEGER NOT NULL,
	head_count INTEGER NOT NULL, -- of them, heads of components
	held_size INTEGER NOT NULL,  -- all that those heads hold
	est_count INTEGER NOT NULL DEFAULT 0,  -- leaked objects that the recorded ones stand for, bounded alike
	est_size INTEGER NOT NULL DEFAULT 0,
	youngest INTEGER,            -- ages, where known
	oldest INTEGER
);
-- The leak heads that hold most come first.
CREATE TABLE stat_leak_head (
	rank INTEGER PRIMARY KEY,
	object_id INTEGER NOT NULL
);

CREATE TABLE stat_memory (
	id INTEGER PRIMARY KEY,
	category TEXT NOT NULL,
	name TEXT NOT NULL,
	resident INTEGER,            -- bytes; the rows sum to the process's resident bytes; NULL: not known
	resident_min INTEGER,        -- of them, certain to be what the row says
	size INTEGER NOT NULL,       -- mapped or handed out, resident or not
	note TEXT
);

-- Root words that belong to no variable, by kind: the rest of root_summary.
CREATE TABLE stat_bare_root (
	kind TEXT PRIMARY KEY,
	word_count INTEGER NOT NULL,
	direct_count INTEGER NOT NULL,
	direct_size INTEGER NOT NULL,
	retained_size INTEGER NOT NULL,
	retained_count INTEGER NOT NULL,
	held_size INTEGER NOT NULL,
	held_count INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE stat_suspect (
	id INTEGER PRIMARY KEY,
	basis TEXT NOT NULL,         -- held retained leaked: which figure makes it one; group: of alike objects
	variable_id INTEGER,         -- what the path starts with: a variable,
	root_id INTEGER,             -- or a root word without one,
	object_id INTEGER,           -- or an object; of a group the largest
	held_size INTEGER NOT NULL,
	held_count INTEGER NOT NULL,
	retained_size INTEGER NOT NULL,
	retained_count INTEGER NOT NULL,
	point_id INTEGER,            -- accumulation point; NULL: the variable itself
	point_held_size INTEGER,
	point_retained_size INTEGER,
	point_children INTEGER,      -- objects directly below it in the tree of the basis; members of a group
	hops INTEGER NOT NULL,       -- from the start of the path to the point
	path TEXT NOT NULL,          -- of a group: what its members are
	type_id INTEGER,             -- of a group
	site_id INTEGER
);
