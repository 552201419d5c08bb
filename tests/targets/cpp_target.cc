// A C++ heap: standard containers, classes with vtables, and a leak of the C++ kind, a cycle of
// shared pointers. operator new and delete write the manifest, so it knows every object, but of the
// edges only the roots of the containers.
//
//   cpp_target --manifest FILE [--mode signal|wait]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "manifest.h"
#include "wipe.h"

void *operator new(std::size_t size)
{
	return t_new(size);
}

void operator delete(void *object) noexcept
{
	if (object)
		t_freed(object);
	std::free(object);
}

void operator delete(void *object, std::size_t) noexcept
{
	operator delete(object);
}

namespace zoo
{

class Animal
{
      public:
	explicit Animal(std::string its_name) : name(std::move(its_name))
	{
	}
	virtual ~Animal() = default;
	virtual int legs() const = 0;
	std::string name;
	std::shared_ptr<Animal> friend_of;
};

class Spider : public Animal
{
      public:
	using Animal::Animal;
	int legs() const override
	{
		return 8;
	}
	double web[16] = {};
};

class Bird : public Animal
{
      public:
	using Animal::Animal;
	int legs() const override
	{
		return 2;
	}
	long song[3] = {};
};

} // namespace zoo

enum { N_ANIMALS = 500 };

// Pointers to storage that the loader cleans up last: the containers live through the dump.
std::vector<std::unique_ptr<zoo::Animal>> *g_animals;
static std::map<int, std::string> *s_names;
std::unordered_map<std::string, std::vector<int>> *g_index;

static std::string name_of(int i)
{
	return "an animal with a rather long name, number " + std::to_string(i);
}

static __attribute__((noinline)) void build()
{
	g_animals = new std::vector<std::unique_ptr<zoo::Animal>>;
	s_names = new std::map<int, std::string>;
	g_index = new std::unordered_map<std::string, std::vector<int>>;
	for (int i = 0; i < N_ANIMALS; i++) {
		if (i % 3)
			g_animals->push_back(std::make_unique<zoo::Bird>(name_of(i)));
		else
			g_animals->push_back(std::make_unique<zoo::Spider>(name_of(i)));
		(*s_names)[i * 7919 % 1000] = name_of(i);
		(*g_index)[name_of(i % 50)].push_back(i);
	}
}

// Two birds that are each other's friends: their counts never come to zero.
static __attribute__((noinline)) void leak()
{
	t_set_leaking(1);
	for (int i = 0; i < 20; i++) {
		auto one = std::make_shared<zoo::Bird>(std::string(40, 'l'));
		auto other = std::make_shared<zoo::Bird>(std::string(60, 'l'));
		one->friend_of = other;
		other->friend_of = one;
	}
	t_set_leaking(0);
}

template <typename T> static void root(t_root_kind kind, const char *name, T *&variable)
{
	t_root(kind, name, reinterpret_cast<void *volatile *>(&variable), variable, 0);
}

int main(int argc, char **argv)
{
	const char *path = nullptr, *mode = "signal";
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!std::strcmp(argv[i], "--manifest"))
			path = argv[i + 1];
		else if (!std::strcmp(argv[i], "--mode"))
			mode = argv[i + 1];
	}
	if (!path)
		t_die("usage: cpp_target --manifest FILE [--mode signal|wait]");
	t_manifest_open(N_ANIMALS * 100);
	t_opaque();
	build();
	leak();
	root(T_GLOBAL, "g_animals", g_animals);
	root(T_STATIC, "s_names", s_names);
	root(T_GLOBAL, "g_index", g_index);
	t_wipe();
	t_manifest_write(path);
	t_wipe();
	if (!std::strcmp(mode, "wait")) {
		dprintf(STDOUT_FILENO, "ready %d\n", static_cast<int>(getpid()));
		t_wipe();
		char c;
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
	} else {
		raise(SIGUSR2);
	}
	_exit(0);
}
