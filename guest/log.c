// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-pstore driver: reading the kernel's log.
 *
 * kmsg_dump_get_line() reads printk's ring without a lock and in any context,
 * each line once. kmsg_dump_get_buffer() would walk twice over what it
 * returns, and hands out the newest text first.
 */
#include <linux/kernel.h>
#include <linux/kmsg_dump.h>
#include <linux/string.h>

#include "vpstore.h"

/* "[virtio-pstore: 18446744073709551615 lines lost]\n" */
#define VPSTORE_NOTICE_ROOM	64
/* As many CPUs as were stopped in the middle of a message, and some. */
#define VPSTORE_STUCK_MAX	16

/*
 * The next line. Where a CPU was stopped in the middle of a message, older
 * kernels end the log there for all readers: look behind it.
 */
static bool vpstore_log_next(struct vpstore_log *log, char *buf, size_t room,
			     size_t *len)
{
	u64 seq = log->iter.cur_seq;
	unsigned int i;

	if (kmsg_dump_get_line(&log->iter, log->syslog, buf, room, len))
		return true;

	for (i = 1; log->cpus_stopped && i <= VPSTORE_STUCK_MAX; i++) {
		log->iter.cur_seq = seq + i;
		if (kmsg_dump_get_line(&log->iter, log->syslog, buf, room, len))
			return true;
	}
	log->iter.cur_seq = seq;
	return false;
}

/**
 * vpstore_log_oldest - find the oldest message that is in the log
 * @seq:	its number
 *
 * Return: whether there is one.
 */
bool vpstore_log_oldest(u64 *seq)
{
	struct kmsg_dump_iter iter = { };
	size_t len;

	if (!kmsg_dump_get_line(&iter, false, NULL, 0, &len))
		return false;
	*seq = iter.cur_seq - 1;
	return true;
}

/**
 * vpstore_log_fill - take as many lines from the log as there are and fit
 * @log:	where to go on
 * @buf:	where they go
 * @size:	room there
 *
 * Every message has a number, so a gap in the numbers is known exactly. A line
 * that says so stands where the lines are missing. It stops when less than
 * VPSTORE_LINE_ROOM is left: printk cuts off what doesn't fit without a word.
 *
 * From 6.9 on a CPU that panics isn't stopped by a message that isn't finished,
 * but looks behind it. While other CPUs still print, that can be the message
 * which this CPU is about to finish: what called us. A live log waits for it,
 * and, for as long as there is an oops, for one that found no room for its text.
 *
 * Return: bytes written. If VPSTORE_LINE_ROOM or more is left, that was all.
 */
size_t vpstore_log_fill(struct vpstore_log *log, char *buf, size_t size)
{
	char notice[VPSTORE_NOTICE_ROOM];
	size_t done = 0, len, n;
	u64 seq, lost, oldest;

	while (size - done >= VPSTORE_LINE_ROOM &&
	       log->iter.cur_seq < log->end) {
		seq = log->iter.cur_seq;
		if (!vpstore_log_next(log, buf + done,
				      size - done - sizeof(notice), &len))
			break;

		lost = log->iter.cur_seq - seq - 1;
		if (lost && log->live && !log->cpus_stopped && oops_in_progress &&
		    vpstore_log_oldest(&oldest) && oldest <= seq) {
			log->iter.cur_seq = seq;
			break;
		}
		lost += log->lost;
		log->lost = 0;
		if (lost && log->begun) {
			n = scnprintf(notice, sizeof(notice),
				      "[virtio-pstore: %llu lines lost]\n",
				      lost);
			memmove(buf + done + n, buf + done, len);
			memcpy(buf + done, notice, n);
			done += n;
		}
		log->begun = true;
		done += len;
	}
	return done;
}

/**
 * vpstore_log_skip - leave out messages that were sent in another way
 * @log:	where to go on
 * @count:	how many messages, somewhere between there and the log's end
 *
 * Goes on behind the log's end. What others printed in between is missing.
 */
void vpstore_log_skip(struct vpstore_log *log, u64 count)
{
	u64 skipped = log->iter.cur_seq + count;
	struct kmsg_dump_iter end;
	size_t len;

	/* A message that a CPU hasn't finished ends the log before its end. */
	kmsg_dump_rewind(&end);
	log->iter.cur_seq = max(end.next_seq, skipped);
	while (log->cpus_stopped && vpstore_log_next(log, NULL, 0, &len))
		;
	log->lost += log->iter.cur_seq - skipped;
}
