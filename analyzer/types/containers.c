#include "types/containers.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 2048 };

static bool starts(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

static bool starts_with_any(const char *name, const char *const *starts_with)
{
	for (; *starts_with; starts_with++) {
		if (starts(name, *starts_with))
			return true;
	}
	return false;
}

uint8_t hf_container_flags(const char *name)
{
	static const char *const hidden[] = {"std::vector<", "std::_Vector_base<", "std::map<",
		"std::multimap<", "std::set<", "std::multiset<", "std::unordered_",
		"std::_Hashtable<", "std::_Rb_tree", "std::__detail::_Hash_node",
		"std::__cxx11::basic_string<", "std::__cxx11::list<", "std::__cxx11::_List_",
		"std::_List_node", "std::list<", "std::deque<", "std::_Deque_base<",
		"std::unique_ptr<", "std::__uniq_ptr_", "std::shared_ptr<", "std::__shared_ptr<",
		"std::weak_ptr<", "std::__weak_ptr<", "std::__shared_count<", "std::__weak_count<",
		"std::_Sp_counted_", "std::queue<", "std::stack<", "std::priority_queue<",
		"std::optional<", "std::_Optional_", "std::tuple<", "std::_Tuple_impl<",
		"std::_Head_base<", "std::atomic<", "std::__atomic_base<", "std::__1::", "alloc::",
		"core::ptr::", "core::cell::", "core::mem::", "core::option::Option<",
		"core::pin::Pin<",
		"std::collections::", "hashbrown::", "std::sync::", "core::sync::", NULL};
	static const char *const storage[] = {
		"__gnu_cxx::__aligned_membuf<", "__gnu_cxx::__aligned_buffer<", NULL};
	if (starts_with_any(name, storage))
		return HF_TYPE_STORAGE | HF_TYPE_HIDDEN;
	return starts_with_any(name, hidden) ? HF_TYPE_HIDDEN : 0;
}

bool hf_container_is_node(const char *name)
{
	const char *arguments = strchr(name, '<');
	return arguments && arguments - name > 5 && !strncmp(arguments - 5, "_node", 5);
}

/* Rust's BTreeMap and BTreeSet, which is a map to nothing. */
const char *hf_container_elements(const char *type, const char *member)
{
	static const char leaf[] = "alloc::collections::btree::node::LeafNode<",
			  inner[] = "alloc::collections::btree::node::InternalNode<";
	if (starts(type, inner))
		return strcmp(member, "edges") ? NULL : "(child)";
	if (!starts(type, leaf))
		return NULL;
	if (!strcmp(member, "vals"))
		return "[\"key\" not shown]";
	bool set = strstr(type, "::SetValZST>");
	return strcmp(member, "keys") ? NULL : set ? "[*]" : "{key}";
}

bool hf_container_is_wrapper(const char *name)
{
	return starts(name, "core::mem::maybe_uninit::MaybeUninit<") ||
	       starts(name, "core::mem::manually_drop::ManuallyDrop<");
}

bool hf_container_is_map_node(const char *name)
{
	return starts(name, "std::_Rb_tree_node<std::pair<") ||
	       starts(name, "std::__detail::_Hash_node<std::pair<") ||
	       starts(name, "std::__detail::_Hash_node_value<std::pair<");
}

/* Template argument number i as it stands in the name; false: there is none. */
static bool argument_text(const char *name, int i, char ret[TEXT_SIZE])
{
	const char *p = strchr(name, '<');
	if (!p)
		return false;
	const char *begin = ++p;
	for (int depth = 0; *p; p++) {
		if (*p == '<' || *p == '(')
			depth++;
		bool ends = !depth && (*p == ',' || *p == '>');
		if (ends && !i) {
			snprintf(ret, TEXT_SIZE, "%.*s", (int)(p - begin), begin);
			return true;
		}
		if (ends && *p == '>')
			return false;
		if (ends) {
			i--;
			begin = p + 1;
		}
		if (*p == '>' || *p == ')')
			depth--;
	}
	return false;
}

/* The type "PREFIX arg SUFFIX" for an argument of the container's own name. */
static uint32_t node_type(struct hf_types *types, const char *container, int argument,
	const char *prefix, const char *suffix)
{
	char text[TEXT_SIZE], name[2 * TEXT_SIZE];
	if (!argument_text(container, argument, text))
		return 0;
	snprintf(name, sizeof(name), "%s%s%s", prefix, text, suffix);
	return hf_types_by_name(types, name);
}

static void link_member(struct hf_types *types, struct hf_type_member *m, const char *name,
	uint64_t offset, uint32_t node)
{
	*m = (struct hf_type_member){name, offset, hf_types_pointer(types, node), 0};
}

/* Replace the member that is the base class of links by the links themselves. members has room for
 * what it had: so only where it has enough. */
static void tree_links(struct hf_types *types, uint32_t node, uint64_t offset, bool header,
	size_t *n, struct hf_type_member *members)
{
	size_t at = header ? 0 : *n;
	link_member(types, &members[at++], header ? "(root)" : "(parent)", offset + 8, node);
	link_member(types, &members[at++], header ? "(first)" : "(left)", offset + 16, node);
	link_member(types, &members[at++], header ? "(last)" : "(right)", offset + 24, node);
	*n = at;
}

static void remove_at(struct hf_type_member *members, size_t *n, size_t i)
{
	memmove(members + i, members + i + 1, (*n - i - 1) * sizeof(*members));
	--*n;
}

static void tree_node(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	for (size_t i = 0; i < *n; i++) {
		if (members[i].flags & HF_MEMBER_BASE) {
			remove_at(members, n, i);
			tree_links(types, type, 0, false, n, members);
			return;
		}
	}
}

/* The header stands at the end: a node's links and the count. */
static void tree(struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	enum { HEADER_SIZE = 40 };
	uint32_t node = node_type(types, types->at[type].name, 1, "std::_Rb_tree_node<", ">");
	uint64_t size = types->at[type].size;
	if (!node || size < HEADER_SIZE)
		return;
	tree_links(types, node, size - HEADER_SIZE, true, n, members);
}

static void list_node(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	for (size_t i = 0; i < *n; i++) {
		if (members[i].flags & HF_MEMBER_BASE) {
			link_member(types, &members[i], "(next)", 0, type);
			link_member(types, &members[(*n)++], "(prev)", 8, type);
			return;
		}
	}
}

static void list(struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	uint32_t node = node_type(types, types->at[type].name, 0, "std::_List_node<", ">");
	if (!node)
		return;
	link_member(types, &members[0], "(first)", 0, node);
	link_member(types, &members[1], "(last)", 8, node);
	*n = 2;
}

static void hash_node(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	for (size_t i = 0; i < *n; i++) {
		const struct hf_type *t = &types->at[members[i].type];
		if ((members[i].flags & HF_MEMBER_BASE) && t->name &&
			!strcmp(t->name, "std::__detail::_Hash_node_base"))
			link_member(types, &members[i], "(next)", 0, type);
	}
}

static void hash_table(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	const char *name = types->at[type].name;
	const char *prefix = "std::__detail::_Hash_node<";
	uint32_t node = node_type(types, name, 1, prefix, ", true>");
	if (!node)
		node = node_type(types, name, 1, prefix, ", false>");
	for (size_t i = 0; node && i < *n; i++) {
		if (!strcmp(members[i].name, "_M_buckets"))
			link_member(types, &members[i], "(buckets)", members[i].offset,
				hf_types_pointer(types, node));
		else if (!strcmp(members[i].name, "_M_before_begin"))
			link_member(types, &members[i], "(first)", members[i].offset, node);
		else if (!strcmp(members[i].name, "_M_single_bucket"))
			link_member(types, &members[i], "(single)", members[i].offset, node);
	}
}

/* libc++ (version 14, __tree, __hash_table): nodes begin with left, right, parent. */
static void libcxx_tree_node(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	for (size_t i = 0; i < *n; i++) {
		if (members[i].flags & HF_MEMBER_BASE) {
			remove_at(members, n, i);
			link_member(types, &members[(*n)++], "(left)", 0, type);
			link_member(types, &members[(*n)++], "(right)", 8, type);
			link_member(types, &members[(*n)++], "(parent)", 16, type);
			return;
		}
	}
}

/* make_shared: raw bytes for the object. */
static void libcxx_shared(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	uint32_t inner = hf_types_template_argument(types, type, 0);
	for (size_t i = 0; inner && i < *n; i++) {
		if (!strcmp(members[i].name, "__storage_"))
			members[i].type = inner;
	}
}

static void libcxx_tree(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	uint32_t node =
		node_type(types, types->at[type].name, 0, "std::__1::__tree_node<", ", void *>");
	for (size_t i = 0; node && i < *n; i++) {
		if (!strcmp(members[i].name, "__begin_node_"))
			link_member(types, &members[i], "(first)", members[i].offset, node);
		else if (!strcmp(members[i].name, "__pair1_"))
			link_member(types, &members[i], "(root)", members[i].offset, node);
	}
}

/* Raw bytes for an object of the first template argument. */
static void storage(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	uint32_t inner = hf_types_template_argument(types, type, 0);
	if (inner)
		*members = (struct hf_type_member){"", 0, inner, 0};
	*n = inner ? 1 : *n;
}

/* hashbrown: the elements lie before the control bytes, which is where the pointer leads. */
static void raw_table(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	uint32_t inner = hf_types_template_argument(types, type, 0);
	for (size_t i = 0; inner && i < *n; i++) {
		if (strcmp(members[i].name, "table"))
			continue;
		uint32_t n_inner, table = members[i].type;
		const struct hf_type_member *m = hf_types_members(types, table, &n_inner);
		for (uint32_t k = 0; k < n_inner; k++) {
			if (!strcmp(m[k].name, "ctrl")) {
				link_member(types, &members[i], "(table)",
					members[i].offset + m[k].offset, inner);
				members[i].flags |= HF_MEMBER_PAST;
				return;
			}
		}
	}
}

/* Names */

static const char *const shorter[][2] = {{"std::__cxx11::", "std::"}, {"std::__1::", "std::"},
	{"alloc::vec::", ""}, {"alloc::string::", ""}, {"alloc::boxed::", ""}, {"alloc::rc::", ""},
	{"alloc::sync::", ""}, {"core::cell::", ""}, {"core::option::", ""}, {"core::result::", ""},
	{"alloc::collections::btree::map::", ""}, {"alloc::collections::btree::set::", ""},
	{"alloc::collections::btree::node::", ""}, {"alloc::collections::vec_deque::", ""},
	{"std::collections::hash::map::", ""}, {"std::collections::hash::set::", ""}};

/* Arguments that are what they are anyway. */
static bool is_default(const char *argument)
{
	static const char *const defaults[] = {"std::allocator<", "std::char_traits<", "std::less<",
		"std::hash<", "std::equal_to<", "std::default_delete<", "std::__1::allocator<",
		"std::__1::char_traits<", "std::__1::less<", "std::__1::hash<",
		"std::__1::equal_to<", "std::__1::default_delete<", "alloc::alloc::Global",
		"std::collections::hash::map::RandomState", "std::hash::random::RandomState",
		"(__gnu_cxx::_Lock_policy)", NULL};
	return starts_with_any(argument, defaults);
}

/* The end of a template argument: the "," or ">" behind it. */
static const char *argument_end(const char *p)
{
	for (int depth = 0; *p; p++) {
		if (*p == '<' || *p == '(')
			depth++;
		else if ((*p == '>' || *p == ',') && !depth)
			break;
		else if (*p == '>' || *p == ')')
			depth--;
	}
	return p;
}

/* From left to right, argument lists by the way; so it nests as deep as it likes. */
void hf_container_short_name(const char *name, char *ret, size_t size)
{
	size_t n = 0;
	bool word = false; /* inside one */
	while (*name && n + 1 < size) {
		size_t i, n_shorter = sizeof(shorter) / sizeof(shorter[0]);
		for (i = 0; i < n_shorter && (word || !starts(name, shorter[i][0])); i++)
			;
		if (i < n_shorter) {
			name += strlen(shorter[i][0]);
			n += (size_t)snprintf(ret + n, size - n, "%s", shorter[i][1]);
			n = n < size ? n : size - 1;
			continue;
		}
		if (*name == ',' && is_default(name + 1 + strspn(name + 1, " "))) {
			name = argument_end(name + 1);
			continue;
		}
		if (*name == ' ' && name[1] == '>') {
			name++;
			continue;
		}
		word = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		       *name == '_' || *name == ':' || (*name >= '0' && *name <= '9');
		ret[n++] = *name++;
		/* what all the world calls a string */
		static const char string[] = "std::basic_string<char>";
		size_t length = sizeof(string) - 1;
		if (n >= length && !memcmp(ret + n - length, string, length)) {
			n -= length;
			n += (size_t)snprintf(ret + n, size - n, "std::string");
		}
	}
	ret[n] = 0;
}

/* The array of members has room for 4 more than there are (build.c). */
void hf_container_members(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members)
{
	const char *name = types->at[type].name;
	if (!(types->at[type].flags & (HF_TYPE_HIDDEN | HF_TYPE_STORAGE)))
		return;
	if (types->at[type].flags & HF_TYPE_STORAGE)
		storage(types, type, n, members);
	else if (starts(name, "std::_Rb_tree_node<"))
		tree_node(types, type, n, members);
	else if (starts(name, "std::_Rb_tree<") && !strstr(name, ">::_Rb_tree_impl"))
		tree(types, type, n, members);
	else if (starts(name, "std::_List_node<"))
		list_node(types, type, n, members);
	else if (starts(name, "std::__cxx11::_List_base<") && !strstr(name, ">::_List_impl"))
		list(types, type, n, members);
	else if (starts(name, "std::__detail::_Hash_node<"))
		hash_node(types, type, n, members);
	else if (starts(name, "std::_Hashtable<"))
		hash_table(types, type, n, members);
	else if (starts(name, "std::__1::__tree_node<"))
		libcxx_tree_node(types, type, n, members);
	else if (starts(name, "std::__1::__shared_ptr_emplace<"))
		libcxx_shared(types, type, n, members);
	else if (starts(name, "std::__1::__tree<"))
		libcxx_tree(types, type, n, members);
	else if (starts(name, "hashbrown::raw::RawTable<"))
		raw_table(types, type, n, members);
}
