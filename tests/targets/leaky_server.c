/*
 * A small TCP server with the kind of leak that no leak checker finds: everything is still held.
 *
 *   leaky_server [--port N]                      serve on the loopback address until SIGTERM
 *   leaky_server --client PORT [--logins N]      drive it: users log in, look, and log out
 *
 * A line a request: LOGIN name · AVATAR token · PAGE number · LOGOUT token. Logging out closes the
 * session, but nobody ever takes it out of g_sessions: with it stay the user and the avatar.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	N_WORKERS = 4,
	N_CLIENTS = 4,
	N_BUCKETS = 4096,
	N_CACHED_PAGES = 128,
	PAGE_SIZE = 16 << 10,
	LINE_SIZE = 256,
};

struct avatar {
	uint32_t width, height;
	unsigned char pixels[];
};

struct user {
	char *name;
	char email[48];
	struct avatar *avatar;
};

struct session {
	struct session *next; /* in its bucket */
	uint64_t token;
	time_t opened;
	bool closed;
	struct user *user;
};

struct session_table {
	pthread_mutex_t lock;
	uint64_t next_token;
	size_t n_sessions;
	struct session *buckets[N_BUCKETS];
};

/* Rendered pages: bounded, as a cache should be. */
struct page_cache {
	pthread_mutex_t lock;
	char *page[N_CACHED_PAGES];
};

static struct session_table *g_sessions;
static struct page_cache g_pages = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "leaky_server: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);
	if (!p)
		die("calloc");
	return p;
}

/* Stands for reading and decoding a picture: between 32 × 32 and 47 × 47 pixels. */
static struct avatar *load_avatar(const char *name)
{
	uint32_t side = 32;
	for (const char *c = name; *c; c++)
		side = 32 + (side * 31 + (unsigned char)*c) % 16;
	struct avatar *avatar = allocate(sizeof(*avatar) + side * side * 3);
	avatar->width = avatar->height = side;
	memset(avatar->pixels, (int)side, side * side * 3);
	return avatar;
}

static struct user *load_user(const char *name)
{
	struct user *user = allocate(sizeof(*user));
	user->name = strdup(name);
	snprintf(user->email, sizeof(user->email), "%.30s@example.org", name);
	user->avatar = load_avatar(name);
	return user;
}

static struct session *session_open(const char *name)
{
	struct session *session = allocate(sizeof(*session));
	session->opened = time(NULL);
	session->user = load_user(name);
	pthread_mutex_lock(&g_sessions->lock);
	session->token = ++g_sessions->next_token;
	struct session **bucket = &g_sessions->buckets[session->token % N_BUCKETS];
	session->next = *bucket;
	*bucket = session;
	g_sessions->n_sessions++;
	pthread_mutex_unlock(&g_sessions->lock);
	return session;
}

static struct session *session_find(uint64_t token)
{
	pthread_mutex_lock(&g_sessions->lock);
	struct session *session = g_sessions->buckets[token % N_BUCKETS];
	while (session && session->token != token)
		session = session->next;
	pthread_mutex_unlock(&g_sessions->lock);
	return session;
}

static void session_close(struct session *session)
{
	session->closed = true; /* and forgets to take it out of its bucket */
}

static size_t page_render(size_t number)
{
	char *page = allocate(PAGE_SIZE);
	snprintf(page, PAGE_SIZE, "<h1>page %zu</h1>", number);
	pthread_mutex_lock(&g_pages.lock);
	char **slot = &g_pages.page[number % N_CACHED_PAGES];
	free(*slot);
	*slot = page;
	pthread_mutex_unlock(&g_pages.lock);
	return PAGE_SIZE;
}

/* reply has room for LINE_SIZE bytes. */
static void answer(const char *request, char *reply)
{
	char name[64];
	unsigned long long number;
	struct session *session = NULL;
	if (sscanf(request, "LOGIN %63s", name) == 1) {
		session = session_open(name);
		snprintf(reply, LINE_SIZE, "OK %llu\n", (unsigned long long)session->token);
	} else if (sscanf(request, "AVATAR %llu", &number) == 1 &&
		   (session = session_find(number)) && !session->closed) {
		const struct avatar *avatar = session->user->avatar;
		snprintf(reply, LINE_SIZE, "OK %s %ux%u\n", session->user->name, avatar->width,
			avatar->height);
	} else if (sscanf(request, "PAGE %llu", &number) == 1) {
		snprintf(reply, LINE_SIZE, "OK %zu\n", page_render(number));
	} else if (sscanf(request, "LOGOUT %llu", &number) == 1 &&
		   (session = session_find(number)) && !session->closed) {
		session_close(session);
		snprintf(reply, LINE_SIZE, "OK\n");
	} else {
		snprintf(reply, LINE_SIZE, "ERROR\n");
	}
}

static void serve(int connection)
{
	FILE *stream = fdopen(connection, "r+");
	if (!stream)
		die("fdopen");
	char request[LINE_SIZE], reply[LINE_SIZE];
	while (fgets(request, sizeof(request), stream)) {
		answer(request, reply);
		if (fputs(reply, stream) == EOF || fflush(stream))
			break;
	}
	fclose(stream);
}

static void *worker(void *arg)
{
	const int *listener = arg;
	for (;;) {
		int connection = accept(*listener, NULL, NULL);
		if (connection >= 0)
			serve(connection);
		else if (errno != EINTR && errno != ECONNABORTED)
			die("accept");
	}
}

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(unsigned port, unsigned *ret_port)
{
	struct sockaddr_in address = loopback(port);
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) ||
		listen(listener, 64) || getsockname(listener, (struct sockaddr *)&address, &size))
		die("listen");
	*ret_port = ntohs(address.sin_port);
	return listener;
}

static int run_server(unsigned port)
{
	g_sessions = allocate(sizeof(*g_sessions));
	pthread_mutex_init(&g_sessions->lock, NULL);
	static int listener; /* workers use it until the process is gone */
	listener = listen_on(port, &port);
	sigset_t stop;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	for (int i = 0; i < N_WORKERS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, worker, &listener))
			die("pthread_create");
	}
	printf("listening on port %u\n", port);
	fflush(stdout);
	int sig;
	sigwait(&stop, &sig);
	printf("%zu sessions in the table\n", g_sessions->n_sessions);
	return 0;
}

struct client {
	unsigned id, port;
	size_t n_logins, n_requests;
};

/* Send one request; the number in its answer, 0 if there is none. */
static unsigned long long ask(
	struct client *client, FILE *stream, const char *verb, unsigned long long argument)
{
	char reply[LINE_SIZE];
	unsigned long long number = 0;
	if (!strcmp(verb, "LOGIN"))
		fprintf(stream, "LOGIN user%llu\n", argument);
	else
		fprintf(stream, "%s %llu\n", verb, argument);
	if (fflush(stream) || !fgets(reply, sizeof(reply), stream) || strncmp(reply, "OK", 2))
		die("the server does not answer");
	client->n_requests++;
	sscanf(reply, "OK %llu", &number);
	return number;
}

static void *client_main(void *arg)
{
	struct client *client = arg;
	struct sockaddr_in address = loopback(client->port);
	int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	FILE *stream = fdopen(connection, "r+");
	if (!stream)
		die("fdopen");
	for (size_t i = 0; i < client->n_logins; i++) {
		unsigned long long token = ask(client, stream, "LOGIN", i * N_CLIENTS + client->id);
		ask(client, stream, "AVATAR", token);
		ask(client, stream, "PAGE", i);
		ask(client, stream, "LOGOUT", token);
	}
	fclose(stream);
	return NULL;
}

static int run_clients(unsigned port, size_t n_logins)
{
	struct client client[N_CLIENTS];
	pthread_t thread[N_CLIENTS];
	size_t n_requests = 0;
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		client[i] = (struct client){i, port, n_logins / N_CLIENTS, 0};
		if (pthread_create(&thread[i], NULL, client_main, &client[i]))
			die("pthread_create");
	}
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		pthread_join(thread[i], NULL);
		n_requests += client[i].n_requests;
	}
	printf("%zu requests answered\n", n_requests);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{"port", required_argument, NULL, 'p'},
		{"client", required_argument, NULL, 'c'},
		{"logins", required_argument, NULL, 'l'},
		{0},
	};
	unsigned port = 0, server_port = 0;
	size_t n_logins = 20000;
	signal(SIGPIPE, SIG_IGN);
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (c) {
		case 'p':
			port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			server_port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'l':
			n_logins = strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	return server_port ? run_clients(server_port, n_logins) : run_server(port);
}
