-- Holdfast's database: views.

CREATE VIEW top_retained AS
SELECT t.rank, o.id, o.addr, o.size, o.retained_size, o.retained_count, o.held_size, o.held_count,
	o.reachable, o.idom_id, o.holder_id,
	ty.name AS type, s.function AS site, s.file AS site_file, s.line AS site_line,
	r.kind AS root_kind, r.name AS root, o.label
FROM stat_top_retained t
CROSS JOIN object o ON o.id = t.object_id
LEFT JOIN type ty ON ty.id = o.type_id
LEFT JOIN site s ON s.id = o.site_id
LEFT JOIN root r ON r.id = o.holder_root_id
ORDER BY t.rank;

CREATE VIEW top_held AS
SELECT t.rank, o.id, o.addr, o.size, o.retained_size, o.retained_count, o.held_size, o.held_count,
	o.reachable, o.idom_id, o.holder_id,
	ty.name AS type, s.function AS site, s.file AS site_file, s.line AS site_line,
	r.kind AS root_kind, r.name AS root, o.label
FROM stat_top_held t
CROSS JOIN object o ON o.id = t.object_id
LEFT JOIN type ty ON ty.id = o.type_id
LEFT JOIN site s ON s.id = o.site_id
LEFT JOIN root r ON r.id = o.holder_root_id
ORDER BY t.rank;

CREATE VIEW type_summary AS
SELECT nullif(s.id, 0) AS type_id,
	coalesce(t.name, CASE WHEN s.id THEN '(unknown)' ELSE '(no type)' END) AS name, t.kind, t.origin,
	t.size AS type_size, s.count, s.size, s.retained_size, s.leak_count, s.leak_size
FROM stat_type s
LEFT JOIN type t ON t.id = s.id
ORDER BY s.size DESC, s.id;

-- count, size, retained_size and leaks are those of the objects that are known to come from the
-- site: all of them, or where the profile is sampled some, and live_bytes and live_count are
-- estimates of the whole. A profile that cannot be tied to objects has only the latter.
CREATE VIEW site_summary AS
SELECT nullif(s.id, 0) AS site_id,
	coalesce(t.function, CASE WHEN s.id THEN '(unknown)' ELSE '(no site)' END) AS function,
	t.file, t.line, s.count, s.size, s.retained_size, s.leak_count, s.leak_size,
	t.live_bytes, t.live_count, t.total_bytes, t.total_count, s.oldest, t.module_id
FROM stat_site s
LEFT JOIN site t ON t.id = s.id
UNION ALL
SELECT t.id, coalesce(t.function, '(unknown)'), t.file, t.line, 0, 0, 0, 0, 0,
	t.live_bytes, t.live_count, t.total_bytes, t.total_count, NULL, t.module_id
FROM site t WHERE NOT EXISTS (SELECT 1 FROM stat_site s WHERE s.id = t.id)
ORDER BY 6 DESC, 10 DESC, 1;

-- By function of the site; the same columns as site_summary where they can be summed.
CREATE VIEW function_summary AS
SELECT function, count(site_id) AS sites, sum(count) AS count, sum(size) AS size,
	sum(leak_count) AS leak_count, sum(leak_size) AS leak_size,
	sum(total_bytes) AS total_bytes, sum(total_count) AS total_count,
	sum(live_bytes) AS live_bytes, sum(live_count) AS live_count, max(oldest) AS oldest
FROM site_summary
GROUP BY 1
ORDER BY 4 DESC, 1;

-- By module of the function that names the site.
CREATE VIEW module_summary AS
SELECT m.id AS module_id,
	coalesce(m.path, CASE WHEN s.site_id THEN '(unknown)' ELSE '(no site)' END) AS module,
	count(s.site_id) AS sites, sum(s.count) AS count, sum(s.size) AS size,
	sum(s.leak_count) AS leak_count, sum(s.leak_size) AS leak_size,
	sum(s.live_bytes) AS live_bytes, sum(s.live_count) AS live_count
FROM site_summary s
LEFT JOIN module m ON m.id = s.module_id
GROUP BY 1, 2
ORDER BY 5 DESC, 2;

CREATE VIEW root_summary AS
SELECT v.id AS variable_id, v.kind, v.name, m.path AS module, t.tid, t.name AS thread, v.addr,
	v.word_count, v.direct_count AS count, v.direct_size AS size,
	v.retained_size, v.retained_count, v.held_size, v.held_count
FROM variable v
LEFT JOIN module m ON m.id = v.module_id
LEFT JOIN thread t ON t.id = v.thread_id
UNION ALL
SELECT NULL, kind, '(no variable)', NULL, NULL, NULL, NULL,
	word_count, direct_count, direct_size, retained_size, retained_count, held_size, held_count
FROM stat_bare_root
ORDER BY held_size DESC, word_count DESC, variable_id;

CREATE VIEW arena_summary AS
SELECT id AS arena_id, allocator, kind, addr, size AS system_size, live_count AS count,
	coalesce(live_size, live_bytes) AS size, live_bytes AS usable, free_bytes, metadata_bytes, retained_size, leak_count, leak_bytes AS leak_size
FROM arena
ORDER BY live_bytes DESC, id;

CREATE VIEW edge_named AS
SELECT e.src_id, a.addr AS src_addr, e.src_offset, e.dst_id, b.addr AS dst_addr, e.dst_offset,
	e.field_id, CASE WHEN f.stride > 0
		THEN replace(f.name, '[]', '[' || ((e.src_offset - f.offset) / f.stride) || ']')
		ELSE f.name END AS field, f.pointer
FROM edge e
JOIN object a ON a.id = e.src_id
JOIN object b ON b.id = e.dst_id
LEFT JOIN field f ON f.id = e.field_id;

-- Children in the dominator tree and in the holder tree: ask with WHERE parent_id = a number.
CREATE VIEW holder_child AS
SELECT e.src_id AS parent_id, o.id AS child_id
FROM edge e
CROSS JOIN object o ON o.id = e.dst_id AND o.holder_id = e.src_id
WHERE NOT EXISTS (SELECT 1 FROM edge f INDEXED BY edge_dst
	WHERE f.dst_id = e.dst_id AND f.src_id = e.src_id AND f.src_offset < e.src_offset);

CREATE VIEW dominator_child AS
SELECT e.src_id AS parent_id, o.id AS child_id
FROM edge e
CROSS JOIN object o ON o.id = e.dst_id AND o.idom_id = e.src_id AND o.parent_id = e.src_id
WHERE NOT EXISTS (SELECT 1 FROM edge f INDEXED BY edge_dst
	WHERE f.dst_id = e.dst_id AND f.src_id = e.src_id AND f.src_offset < e.src_offset)
UNION ALL
SELECT idom_id, id FROM object WHERE idom_id IS NOT NULL AND idom_id IS NOT parent_id;

CREATE VIEW leak AS
SELECT o.id, o.addr, o.size, o.usable, o.holder_id IS NULL AS is_head, o.holder_id, o.idom_id,
	o.retained_size, o.retained_count, o.held_size, o.held_count,
	o.type_id, ty.name AS type, o.site_id, s.function AS site, s.file AS site_file, s.line AS site_line,
	o.label, o.age, o.alloc_tid
FROM object o
LEFT JOIN type ty ON ty.id = o.type_id
LEFT JOIN site s ON s.id = o.site_id
WHERE o.reachable = 0;

-- Heads of leaked components, those that hold most first.
CREATE VIEW leak_head AS
SELECT h.rank, o.id, o.addr, o.size, o.retained_size, o.retained_count, o.held_size, o.held_count,
	o.type_id, ty.name AS type, o.site_id, s.function AS site, s.file AS site_file, s.line AS site_line,
	o.label
FROM stat_leak_head h
CROSS JOIN object o ON o.id = h.object_id
LEFT JOIN type ty ON ty.id = o.type_id
LEFT JOIN site s ON s.id = o.site_id
ORDER BY h.rank;

CREATE VIEW leak_summary AS
SELECT l.id, l.site_id, s.function AS site, s.file AS site_file, s.line AS site_line,
	l.type_id, ty.name AS type, l.object_size, l.count, l.size, l.head_count, l.held_size,
	l.est_count, l.est_size, l.youngest, l.oldest
FROM stat_leak l
LEFT JOIN type ty ON ty.id = l.type_id
LEFT JOIN site s ON s.id = l.site_id
ORDER BY l.held_size DESC, l.size DESC, l.id;

CREATE VIEW memory_account AS
SELECT category, name, resident, resident_min, size, note FROM stat_memory ORDER BY id;

CREATE VIEW suspect AS
SELECT s.id, s.basis,
	CASE WHEN s.basis IN ('retained', 'group') THEN s.retained_size ELSE s.held_size END * 1.0
		/ max(1, (SELECT value FROM meta WHERE key = 'live_size')) AS share,
	s.held_size, s.held_count, s.retained_size, s.retained_count,
	s.variable_id, s.root_id, coalesce(v.kind, r.kind) AS root_kind, coalesce(v.name, r.name) AS root,
	s.object_id, o.addr,
	s.point_id, p.addr AS point_addr, p.size AS point_size, pt.name AS point_type,
	s.point_held_size, s.point_retained_size, s.point_children, s.hops, s.path,
	s.type_id, s.site_id
FROM stat_suspect s
LEFT JOIN variable v ON v.id = s.variable_id
LEFT JOIN root r ON r.id = s.root_id
LEFT JOIN object o ON o.id = s.object_id
LEFT JOIN object p ON p.id = s.point_id
LEFT JOIN type pt ON pt.id = p.type_id
ORDER BY s.id;
