"""The graph figures of a small database, worked out anew in the most simple-minded way.

Everything comes from the tables edge, root and object(id, size); what is compared are the columns
that the analyzer computed. Quadratic: for some thousand objects.
"""
import collections


class Graph:
    def __init__(self, db):
        self.size = dict(db.execute("SELECT id, size FROM object"))
        self.out = collections.defaultdict(set)
        for src, dst in db.execute("SELECT src_id, dst_id FROM edge"):
            self.out[src].add(dst)
        self.into = collections.defaultdict(set)
        for src, dsts in self.out.items():
            for dst in dsts:
                self.into[dst].add(src)
        self.variable_of = collections.defaultdict(set)  # object → variables that point to it
        for obj, variable in db.execute("SELECT object_id, variable_id FROM root"):
            self.variable_of[obj].add(variable)

    def reach(self, starts, without=None):
        """Objects within reach, and each one's distance."""
        depth = {s: 0 for s in starts if s != without}
        queue = collections.deque(depth)
        while queue:
            at = queue.popleft()
            for to in self.out[at]:
                if to != without and to not in depth:
                    depth[to] = depth[at] + 1
                    queue.append(to)
        return depth

    def dominated(self, starts):
        """For each object in reach, the objects that only it lets reach (itself among them)."""
        everything = set(self.reach(starts))
        return {v: everything - set(self.reach(starts, without=v)) for v in everything}

    def total(self, objects):
        return sum(self.size[o] for o in objects)


def immediate_dominators(dominated):
    """object → the nearest other object that dominates it, or None."""
    dominators = collections.defaultdict(set)
    for v, below in dominated.items():
        for w in below - {v}:
            dominators[w].add(v)
    return {w: max(dominators[w], key=lambda v: len(dominators[v]), default=None) for w in dominated}


def leak_heads(graph, unreachable):
    """Where unreachable memory is entered: the lowest of every component that no other leads to."""
    return {min(component) for component in components_without_referrers(graph, unreachable)}


def components_without_referrers(graph, objects):
    """The strongly connected components of a set of objects that are entered from no other."""
    forward = {o: set(graph.reach([o])) for o in objects}
    seen = set()
    for o in sorted(objects):
        if o in seen:
            continue
        component = {p for p in forward[o] if o in forward.get(p, ())}
        seen |= component
        if not any(r in objects and r not in component for p in component for r in graph.into[p]):
            yield component


def compare(db):
    """Problems found, as texts."""
    graph = Graph(db)
    rows = list(db.execute("SELECT id, reachable, depth, idom_id, retained_size, retained_count FROM object"))
    rooted = set(graph.variable_of)
    depth = graph.reach(rooted)
    unreachable = set(graph.size) - set(depth)
    heads = leak_heads(graph, unreachable)

    dominated = graph.dominated(rooted)
    dominated.update({v: below & unreachable for v, below in graph.dominated(heads).items() if v in unreachable})
    idom = immediate_dominators(dominated)
    problems = []
    for obj, reachable, depth_column, idom_id, retained_size, retained_count in rows:
        expected = [
            ("reachable", int(obj in depth), reachable),
            ("retained_size", graph.total(dominated.get(obj, ())), retained_size),
            ("retained_count", len(dominated.get(obj, ())), retained_count),
            ("idom_id", idom.get(obj), idom_id),
            ("depth", depth.get(obj), depth_column),
        ]
        problems += [f"object {obj}: {name} is {was}, not {should}" for name, should, was in expected if should != was]
    return problems + compare_variables(db, graph, rooted) + compare_paths(db, graph) + compare_holders(db, graph, heads)


def compare_variables(db, graph, rooted):
    everything = set(graph.reach(rooted))
    problems = []
    for variable, retained_size in db.execute("SELECT id, retained_size FROM variable"):
        others = {o for o, variables in graph.variable_of.items() if variables != {variable}}
        should = graph.total(everything - set(graph.reach(others)))
        if retained_size != should:
            problems.append(f"variable {variable}: retained_size is {retained_size}, not {should}")
    return problems


def compare_paths(db, graph):
    """parent_id is one edge nearer to the root that root_id names."""
    rows = {row[0]: row[1:] for row in db.execute("SELECT id, parent_id, root_id, depth FROM object WHERE reachable")}
    object_of_root = dict(db.execute("SELECT id, object_id FROM root"))
    problems = []
    for obj, (parent, root, depth) in rows.items():
        if parent is None:
            if object_of_root.get(root) != obj:
                problems.append(f"object {obj} has no parent, and root {root} does not point to it")
        elif obj not in graph.out[parent] or rows[parent][2] != depth - 1 or rows[parent][1] != root:
            problems.append(f"object {obj}: parent {parent} is not the next towards root {root}")
    return problems


def compare_holders(db, graph, heads):
    """Every object but heads of leaks has one holder, and the sizes add up."""
    rows = {row[0]: row[1:] for row in db.execute(
        "SELECT id, holder_id, holder_root_id, held_size, held_count FROM object")}
    root = {row[0]: row[1:] for row in db.execute("SELECT id, object_id, variable_id FROM root")}
    size = {o: graph.size[o] for o in rows}
    count = dict.fromkeys(rows, 1)
    held_by_variable = collections.Counter()
    children = collections.Counter(row[0] for row in rows.values())
    problems = []
    ready = [o for o in rows if not children[o]]
    n_done = 0
    while ready:
        obj = ready.pop()
        n_done += 1
        holder, holder_root, held_size, held_count = rows[obj]
        if (held_size, held_count) != (size[obj], count[obj]):
            problems.append(f"object {obj}: holds {held_size}, {held_count}; its tree is {size[obj]}, {count[obj]}")
        if holder is None:
            if obj in heads:
                continue
            if holder_root not in root or root[holder_root][0] != obj:
                problems.append(f"object {obj}: holder root {holder_root} does not point to it")
            else:
                held_by_variable[root[holder_root][1]] += size[obj]
            continue
        if obj not in graph.out[holder]:
            problems.append(f"object {obj}: its holder {holder} has no edge to it")
        size[holder] += size[obj]
        count[holder] += count[obj]
        children[holder] -= 1
        if not children[holder]:
            ready.append(holder)
    if n_done != len(rows):
        problems.append(f"{len(rows) - n_done} objects hold each other in a circle")
    for variable, held in db.execute("SELECT id, held_size FROM variable"):
        if held != held_by_variable[variable]:
            problems.append(f"variable {variable}: held_size is {held}, not {held_by_variable[variable]}")
    return problems
