// C++: classes by their vtables, bases at offsets, templates, and the containers of the library.
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "typed.h"

#ifdef __clang__ // spells pointers with a space
#	define PTR " *"
#else
#	define PTR "*"
#endif
#ifdef _LIBCPP_VERSION
#	define LIST_NODE "std::__list_node<farm::Tag, void" PTR ">"
#else
#	define LIST_NODE "std::_List_node<farm::Tag>"
#endif
#define TAG_POINTERS "std::vector<farm::Tag" PTR ">"

namespace farm
{

struct Tag {
	std::string text;
	uint64_t id = 0;
};

class Animal
{
      public:
	virtual ~Animal() = default;
	virtual int legs() const = 0;
	std::unique_ptr<Tag> tag;
};

class Flying
{
      public:
	virtual ~Flying() = default;
	uint64_t height = 3;
	Tag *wing = nullptr;
};

class Cow : public Animal
{
      public:
	int legs() const override
	{
		return 4;
	}
	std::vector<Tag> spots;
};

class Duck : public Animal, public Flying
{
      public:
	int legs() const override
	{
		return 2;
	}
	Tag *beak = nullptr;
};

// One Owner in a Mule, whichever way there.
struct Owner {
	virtual ~Owner() = default;
	Tag *name = nullptr;
};
struct Horse : virtual Owner {
	Tag *saddle = nullptr;
};
struct Donkey : virtual Owner {
	Tag *basket = nullptr;
};
struct Mule : Horse, Donkey {
	Tag *whip = nullptr;
};
struct Foal : Mule {
	Tag *bell = nullptr;
};

template <typename T> struct Ring {
	T *next = nullptr;
	uint64_t size[3] = {};
};

struct Node : Ring<Node> {
	Tag *tag = nullptr;
};

// Defined outside of its class.
class Barn
{
      public:
	Barn();
	struct Inside;
	Inside *inside;
};

struct Barn::Inside {
	Tag *hay;
	struct Loft;
	Loft *loft;
};

struct Barn::Inside::Loft {
	Tag *straw;
	long n[5];
};

enum class Color : uint8_t { red, green };

struct Farm {
	std::vector<Animal *> animals;
	std::vector<Flying *> flying;
	std::vector<Owner *> owners;
	std::vector<Donkey *> donkeys;
	std::map<int, Tag *> by_number;
	std::unordered_map<std::string, std::unique_ptr<Tag>> by_name;
	std::list<Tag> list;
	std::deque<Tag *> deque;
	std::set<Tag *> set;
	std::shared_ptr<Tag> shared;
	std::weak_ptr<Tag> weak;
	std::vector<std::vector<Tag *>> nested;
	Node *ring = nullptr;
	Barn *barn = nullptr;
	Tag *array = nullptr; // with its length before it
	Color color = Color::red;
	static Farm *only;
};
Farm *Farm::only;

namespace
{
std::vector<Tag *> *hidden;
}

} // namespace farm

using namespace farm;

static Tag *make_tag(uint64_t id)
{
	Tag *tag = new Tag;
	tag->text = "a text that is too long to lie in the string, " + std::to_string(id);
	tag->id = id;
	return tag;
}

static void say_tag(const Tag *tag, const std::string &path)
{
	typed(tag, "farm::Tag", "%s", path.c_str());
	typed(tag->text.data(), "char[]", "%s->text", path.c_str());
}

static void build_animals(Farm *farm)
{
	const std::string all = "farm::Farm::only->animals";
	for (int i = 0; i < 6; i++) {
		const std::string path = all + "[" + std::to_string(i) + "]";
		if (i % 2) {
			Duck *duck = new Duck;
			duck->beak = make_tag(1);
			duck->wing = make_tag(2);
			farm->animals.push_back(duck);
			farm->flying.push_back(duck);
			typed(duck, "farm::Duck", "%s", path.c_str());
			say_tag(duck->beak, path + "->beak");
			say_tag(duck->wing, path + "->wing");
		} else {
			Cow *cow = new Cow;
			cow->tag.reset(make_tag(3));
			cow->spots.resize(3);
			cow->spots[2].text = std::string(50, 's');
			farm->animals.push_back(cow);
			typed(cow, "farm::Cow", "%s", path.c_str());
			say_tag(cow->tag.get(), path + "->tag");
			typed(cow->spots.data(), "farm::Tag[]", "%s->spots", path.c_str());
			typed(cow->spots[2].text.data(), "char[]", "%s->spots[2].text",
				path.c_str());
		}
	}
	typed(farm->animals.data(), "farm::Animal *[]", "%s", all.c_str());
	typed(farm->flying.data(), "farm::Flying *[]", "farm::Farm::only->flying");
}

Barn::Barn() : inside(new Inside)
{
	inside->hay = make_tag(17);
	inside->loft = new Inside::Loft();
	inside->loft->straw = make_tag(18);
}

static void build_barn(Farm *farm)
{
	const std::string path = "farm::Farm::only->barn";
	Barn *barn = farm->barn = new Barn;
	typed(barn, "farm::Barn", "%s", path.c_str());
	typed(barn->inside, "farm::Barn::Inside", "%s->inside", path.c_str());
	say_tag(barn->inside->hay, path + "->inside->hay");
	typed(barn->inside->loft, "farm::Barn::Inside::Loft", "%s->inside->loft", path.c_str());
	say_tag(barn->inside->loft->straw, path + "->inside->loft->straw");
}

static void build_mules(Farm *farm)
{
	const std::string only = "farm::Farm::only->";
	for (int i = 0; i < 6; i++) {
		const std::string path =
			only + (i % 2 ? "owners[" : "donkeys[") + std::to_string(i / 2) + "]";
		Mule *mule = i % 3 ? new Mule : new Foal;
		if (i % 2)
			farm->owners.push_back(mule);
		else
			farm->donkeys.push_back(mule);
		typed(mule, i % 3 ? "farm::Mule" : "farm::Foal", "%s", path.c_str());
		say_tag(mule->name = make_tag(12), path + "->name");
		say_tag(mule->saddle = make_tag(13), path + "->saddle");
		say_tag(mule->basket = make_tag(14), path + "->basket");
		say_tag(mule->whip = make_tag(15), path + "->whip");
		if (i % 3 == 0)
			say_tag(static_cast<Foal *>(mule)->bell = make_tag(16), path + "->bell");
	}
}

static void build_containers(Farm *farm)
{
	const std::string only = "farm::Farm::only->";
	for (int i = 0; i < 30; i++) {
		farm->by_number[i] = make_tag(4);
		say_tag(farm->by_number[i], only + "by_number[\"key\" not shown]");
		std::unique_ptr<Tag> &named =
			farm->by_name["a name that is long enough " + std::to_string(i)];
		named.reset(make_tag(5));
		say_tag(named.get(), only + "by_name[\"key\" not shown]");
		farm->list.push_back(Tag());
		farm->list.back().text = std::string(70, 'x');
		typed(farm->list.back().text.data(), "char[]", "%slist[*].text", only.c_str());
		typed(reinterpret_cast<char *>(&farm->list.back()) - 16, LIST_NODE, "%slist",
			only.c_str());
	}
	for (int i = 0; i < 10; i++)
		say_tag(*farm->set.insert(make_tag(6)).first, only + "set[*]");
	for (int i = 0; i < 3; i++) {
		farm->deque.push_back(make_tag(7));
		say_tag(farm->deque.back(), "*");
	}
	farm->shared = std::make_shared<Tag>();
	farm->weak = farm->shared;
	farm->shared->text = std::string(80, 't');
	typed(farm->shared->text.data(), "char[]", "%sshared->text", only.c_str());
	farm->nested.resize(3);
	farm->nested[1] = {make_tag(8), make_tag(9)};
	typed(farm->nested.data(), TAG_POINTERS "[]", "%snested", only.c_str());
	typed(farm->nested[1].data(), "farm::Tag *[]", "%snested[1]", only.c_str());
	say_tag(farm->nested[1][1], only + "nested[1][1]");
	farm->array = new Tag[7];
	typed(reinterpret_cast<char *>(farm->array) - 8, "farm::Tag[]", "%sarray", only.c_str());
	farm->array[4].text = std::string(90, 'a');
	typed(farm->array[4].text.data(), "char[]", "%sarray[4].text", only.c_str());
	Node *node = farm->ring = new Node;
	for (int i = 0; i < 5; i++, node = node->next) {
		typed(node, "farm::Node", "*");
		node->tag = make_tag(10);
		say_tag(node->tag, "*->tag");
		node->next = i < 4 ? new Node : farm->ring;
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	typed_open(argv[1]);
	Farm *farm = Farm::only = new Farm;
	typed(farm, "farm::Farm", "farm::Farm::only");
	build_animals(farm);
	build_mules(farm);
	build_barn(farm);
	build_containers(farm);
	hidden = new std::vector<Tag *>{make_tag(11)};
	typed(hidden, TAG_POINTERS, "farm::(anonymous namespace)::hidden");
	say_tag((*hidden)[0], "farm::(anonymous namespace)::hidden[0]");
	typed_dump();
	return farm->animals.size() + hidden->size() == 7 ? 0 : 1;
}
