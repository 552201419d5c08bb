/* Containers, all forms of new and delete, and allocations that fail: 0 if each does what it
 * should.
 */
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct alignas(128) Aligned {
	char text[200];
};

static bool throws(std::size_t size)
{
	try {
		void *volatile p = ::operator new(size);
		::operator delete(p);
		return false;
	} catch (const std::bad_alloc &) {
		return true;
	}
}

extern "C" int site_cxx_work(void)
{
	std::vector<std::string> texts;
	for (int i = 0; i < 1000; i++)
		texts.push_back(std::string(100, 'x'));
	for (int i = 0; i < 100; i++) {
		std::unique_ptr<Aligned> one(new Aligned);
		std::unique_ptr<Aligned[]> some(new Aligned[3]);
		if ((std::uintptr_t)one.get() % 128 || (std::uintptr_t)some.get() % 128)
			return 3;
		delete new int;
		delete[] new (std::nothrow) char[50];
		::operator delete(::operator new(40, std::nothrow), std::nothrow);
	}
	const std::size_t huge = std::size_t(1) << 50;
	void *volatile none = ::operator new(huge, std::nothrow);
	if (none || !throws(huge) || !throws(huge) || throws(10))
		return 4;
	return texts.size() == 1000 ? 0 : 5;
}
