/*
 * A program in which everything comes and goes all the time: threads with thread-local objects,
 * libraries, children by fork, vfork, posix_spawn and exec, signals, timers, containers. What it
 * prints and its exit status depend on its arguments alone; it checks everything it does.
 *
 *   busy PLUGIN ROUNDS      prints one line a worker and "children 0"; exit status 7
 *   busy child N            what it executes: exit status N
 *
 * With BUSY_WAIT in the environment it prints "ready" before and "waiting" after the work, and goes
 * on at each line of standard input.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{

const char *self, *plugin;
unsigned rounds;

[[noreturn]] void fail(const char *what)
{
	fprintf(stderr, "busy: %s: %s\n", what, strerror(errno));
	_exit(99);
}

uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	return x ^ x >> 29;
}

int status_of(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			fail("waitpid");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

void expect(int found, int should, const char *what)
{
	if (found == should)
		return;
	fprintf(stderr, "busy: %s: %d, not %d\n", what, found, should);
	_exit(98);
}

/* Containers of every kind, some of them alive for long. */
uint64_t containers()
{
	std::map<std::string, std::vector<uint64_t>> by_name;
	std::unordered_map<uint64_t, std::shared_ptr<std::string>> by_number;
	std::deque<std::unique_ptr<std::set<int>>> recent;
	uint64_t sum = 0;
	for (uint64_t i = 0; i < rounds * 400ull; i++) {
		uint64_t x = mix(i);
		by_name["name " + std::to_string(x % 300)].push_back(x);
		if (by_name.size() > 200)
			by_name.erase(by_name.begin());
		by_number[x % 1000] = std::make_shared<std::string>(x % 700, 'x');
		recent.push_back(std::make_unique<std::set<int>>());
		for (int k = 0; k < 5; k++)
			recent.back()->insert(static_cast<int>(x >> k & 63));
		if (recent.size() > 100)
			recent.pop_front();
		sum += by_number[x % 1000]->size() + recent.front()->size();
		try {
			if (x % 97 == 0)
				throw std::runtime_error("as planned");
		} catch (const std::runtime_error &e) {
			sum += strlen(e.what());
		}
	}
	for (const auto &entry : by_name)
		sum += entry.second.size();
	return sum;
}

struct local {
	std::vector<std::string> words;
	~local()
	{
		words.clear();
	}
};
thread_local local mine;

/* Threads that live for a moment, all at the same time. */
uint64_t threads()
{
	std::atomic<uint64_t> sum{0};
	for (unsigned i = 0; i < rounds; i++) {
		std::vector<std::thread> all;
		for (unsigned k = 0; k < 6; k++) {
			all.emplace_back([i, k, &sum] {
				for (unsigned n = 0; n < 50; n++)
					mine.words.emplace_back(mix(i + n) % 200, 'a');
				sum += mine.words.back().size() + k;
			});
		}
		for (auto &thread : all)
			thread.join();
	}
	return sum;
}

uint64_t libraries()
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < rounds; i++) {
		void *handle = dlopen(plugin, i % 2 ? RTLD_NOW : RTLD_LAZY);
		if (!handle)
			fail(dlerror());
		auto work = reinterpret_cast<size_t (*)(const char *)>(
			dlsym(handle, "busy_plugin_work"));
		if (!work)
			fail("dlsym");
		sum += work(std::string(i % 300, 'p').c_str());
		if (dlclose(handle))
			fail("dlclose");
	}
	return sum;
}

uint64_t forks()
{
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			auto more = std::make_unique<std::vector<std::string>>(100, "in the child");
			_exit(static_cast<int>(more->size() % 64 + i % 8));
		}
		expect(status_of(pid), static_cast<int>(36 + i % 8), "a forked child");
	}
	return rounds;
}

/* Apart from its caller: vfork() lends the frame. */
__attribute__((noinline)) pid_t execute(unsigned how, char **args)
{
	pid_t pid = 0;
	if (how == 0) {
		errno = posix_spawn(&pid, self, nullptr, nullptr, args, environ);
		return errno ? -1 : pid;
	}
	pid = how == 1 ? vfork() : fork();
	if (pid == 0) {
		execv(self, args);
		_exit(97);
	}
	return pid;
}

uint64_t spawns()
{
	char child[] = "child";
	for (unsigned i = 0; i < rounds / 2; i++) {
		std::string n = std::to_string(i % 50);
		char *args[] = {const_cast<char *>(self), child, n.data(), nullptr};
		pid_t pid = execute(i % 3, args);
		if (pid < 0)
			fail("a child to execute something");
		expect(status_of(pid), static_cast<int>(i % 50), "an executed child");
	}
	return rounds / 2;
}

/* Calls that a signal or a stop may cut short. With BUSY_NO_SIGNALS they may not say so, but for
 * one in a hundred: SIGCHLD, ignored here, is sent while a thread is traced, and the thread that it
 * was meant for need not be the one that takes it. */
uint64_t calls()
{
	int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
	if (pipe(ends) || epoll < 0)
		fail("pipe");
	epoll_event event = {};
	event.events = EPOLLIN;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event))
		fail("epoll_ctl");
	unsigned interrupted = 0;
	for (unsigned i = 0; i < rounds; i++) {
		timespec pause = {0, 300000};
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr) &&
			getenv("BUSY_NO_SIGNALS"))
			fail("clock_nanosleep");
		interrupted += epoll_wait(epoll, &event, 1, 1) < 0;
		void *map = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (map == MAP_FAILED)
			fail("mmap");
		memset(map, 1, 1 << 16);
		munmap(map, 1 << 20);
		char byte = 'b';
		if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			fail("pipe");
	}
	if (getenv("BUSY_NO_SIGNALS") && interrupted * 100 > rounds)
		fail("epoll_wait");
	close(ends[0]);
	close(ends[1]);
	close(epoll);
	return rounds;
}

/* A queue between two threads. */
uint64_t queue()
{
	std::mutex mutex;
	std::condition_variable changed;
	std::deque<std::unique_ptr<std::string>> items;
	uint64_t sum = 0, n = rounds * 100ull;
	std::thread consumer([&] {
		for (uint64_t i = 0; i < n; i++) {
			std::unique_lock<std::mutex> lock(mutex);
			changed.wait(lock, [&] { return !items.empty(); });
			sum += items.front()->size();
			items.pop_front();
		}
	});
	for (uint64_t i = 0; i < n; i++) {
		std::lock_guard<std::mutex> lock(mutex);
		items.push_back(std::make_unique<std::string>(mix(i) % 100, 'q'));
		changed.notify_one();
	}
	consumer.join();
	return sum;
}

int n_descriptors()
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void wait_for_line(const char *say)
{
	if (!getenv("BUSY_WAIT"))
		return;
	printf("%s\n", say);
	fflush(stdout);
	for (char c = 0; c != '\n';) {
		if (read(STDIN_FILENO, &c, 1) == 0)
			break;
	}
}

} // namespace

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "child"))
		return atoi(argv[2]);
	if (argc != 3)
		return 2;
	self = "/proc/self/exe";
	plugin = argv[1];
	rounds = static_cast<unsigned>(atoi(argv[2]));
	wait_for_line("ready");
	const struct {
		const char *name;
		uint64_t (*run)();
	} workers[] = {{"containers", containers}, {"threads", threads}, {"libraries", libraries},
		{"forks", forks}, {"spawns", spawns}, {"calls", calls}, {"queue", queue}};
	int before = n_descriptors();
	uint64_t results[7];
	std::vector<std::thread> all;
	for (size_t i = 0; i < 7; i++)
		all.emplace_back([&, i] { results[i] = workers[i].run(); });
	for (auto &thread : all)
		thread.join();
	for (size_t i = 0; i < 7; i++)
		printf("%s %llu\n", workers[i].name, static_cast<unsigned long long>(results[i]));
	/* Every child was ours and is gone. */
	int status;
	printf("children %d\n", waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD ? 0 : 1);
	printf("descriptors %+d\n", n_descriptors() - before);
	wait_for_line("waiting");
	return 7;
}
