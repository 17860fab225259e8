// SPDX-License-Identifier: MIT
/*
 * The system calls that one durable record takes at least, without any transport: create, write, fsync,
 * rename, fsync of the directory. bench/write.ts compares virtio-pstore with it.
 *
 * usage: durable-write DIRECTORY BYTES RECORDS IN_FLIGHT
 *
 * IN_FLIGHT records at a time are made durable together: every file is synced, then the directory, once.
 * Prints the nanoseconds of each group on a line of its own. The files stay: rec-1, rec-2, ...
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "durable-write: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	size_t bytes, at;
	int records, in_flight, dir, i, j, n;
	long long *took;
	char *data;
	int *fds;

	if (argc != 5) {
		fprintf(stderr, "usage: durable-write DIRECTORY BYTES RECORDS IN_FLIGHT\n");
		return 2;
	}
	bytes = strtoul(argv[2], NULL, 10);
	records = atoi(argv[3]);
	in_flight = atoi(argv[4]);
	data = malloc(bytes);
	fds = calloc(in_flight, sizeof(*fds));
	took = calloc(records, sizeof(*took));
	check(data && fds && took, "malloc");
	/* The same contents as bench/write.ts gives its records. */
	for (at = 0; at < bytes; at++)
		data[at] = at % 251;
	check(chdir(argv[1]) == 0, argv[1]);
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(dir >= 0, argv[1]);

	for (i = 0, n = 0; i < records; i += in_flight, n++) {
		char from[32], to[32];
		long long start = now();

		for (j = 0; j < in_flight; j++) {
			snprintf(from, sizeof(from), ".tmp-%d", i + j + 1);
			fds[j] = open(from, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
			check(fds[j] >= 0, from);
			for (at = 0; at < bytes;) {
				ssize_t count = write(fds[j], data + at, bytes - at);

				check(count > 0, "write");
				at += count;
			}
		}
		for (j = 0; j < in_flight; j++) {
			check(fsync(fds[j]) == 0, "fsync");
			snprintf(from, sizeof(from), ".tmp-%d", i + j + 1);
			snprintf(to, sizeof(to), "rec-%d", i + j + 1);
			check(rename(from, to) == 0, to);
			close(fds[j]);
		}
		check(fsync(dir) == 0, "fsync of the directory");
		took[n] = now() - start;
	}
	for (i = 0; i < n; i++)
		printf("%lld\n", took[i]);
	return 0;
}
