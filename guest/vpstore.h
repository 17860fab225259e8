/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_H
#define _VPSTORE_H
/*
 * virtio-pstore driver: what its files share.
 *
 *   main.c    the virtio driver: probe, remove, suspend, config space
 *   ring.c    the virtqueues: who owns which buffer, waiting, giving up
 *   source.c  the pstore source: pstore's callbacks as requests
 *
 * Locks, outer to inner: pstore's own (read_mutex, buf_lock), then
 * vpstore.command_lock, then vpstore_queue.lock. The last is the only one
 * that dumps and console writes take, and they never wait for it.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/kmsg_dump.h>
#include <linux/mutex.h>
#include <linux/pstore.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/wait.h>

#include <linux/virtio_pstore.h>

/* A second one lets a panic write while the device keeps an oops's buffer. */
#define VPSTORE_DUMP_SLOTS	2
#define VPSTORE_CONSOLE_SLOTS	32
/* printk's longest line is 1 KiB, or 2 KiB in newer kernels: two requests. */
#define VPSTORE_CONSOLE_SIZE	1024

/**
 * enum vpstore_slot_state - who owns a slot and its buffers
 * @VPSTORE_FREE:	the driver; anyone may claim it
 * @VPSTORE_CLAIMED:	whoever claimed it, to fill it
 * @VPSTORE_AWAITED:	the device; somebody waits for the answer
 * @VPSTORE_UNWATCHED:	the device; nobody waits, or does so any longer
 * @VPSTORE_DONE:	whoever waited, to read the answer
 *
 * Every change is one atomic operation, so that a dying CPU can give a
 * request up, or claim a free slot, without any lock.
 */
enum vpstore_slot_state {
	VPSTORE_FREE,
	VPSTORE_CLAIMED,
	VPSTORE_AWAITED,
	VPSTORE_UNWATCHED,
	VPSTORE_DONE,
};

/**
 * struct vpstore_slot - one request and all the memory the device sees of it
 * @state:	enum vpstore_slot_state; it says who owns everything below
 * @used:	used length the device reported, valid once DONE
 * @size:	bytes at @data
 * @data:	WRITE's text, or READ's answer; the slot's own kmalloc'ed memory
 * @req:	device-readable
 * @res:	device-writable
 * @info:	device-writable, READ only
 *
 * Slots are kmalloc'ed one by one and live as long as the driver is bound.
 * Their memory is the only memory that ever enters a descriptor: vmalloc'ed,
 * static and stack memory has no guest-physical address to be had from its
 * virtual one (and user-mode-linux doesn't share .data and .bss at all).
 * Text is copied into @data rather than sent from where it lies, because its
 * owner writes to that place again while a slow device may still read it.
 */
struct vpstore_slot {
	atomic_t		state;
	u32			used;
	u32			size;
	void			*data;
	struct virtio_pstore_req	req ____cacheline_aligned;
	struct virtio_pstore_res	res ____cacheline_aligned;
	struct virtio_pstore_fileinfo	info;
};

/**
 * struct vpstore_queue - a virtqueue
 * @lock:	guards @vq; held for a few microseconds at a time
 * @vq:		NULL while the device is stopped
 * @dead:	a request was not answered in time, and no answer has come
 *		since; new requests fail at once
 */
struct vpstore_queue {
	raw_spinlock_t		lock;
	struct virtqueue	*vq;
	bool			dead;
};

/**
 * struct vpstore_budget - time that one dump may spend waiting
 * @limit:	nanoseconds for the whole dump, all its parts together
 * @spent:	nanoseconds earlier waits took
 * @start:	clock at the start of the wait under way
 * @counted:	nanoseconds of delay loops in the wait under way
 *
 * Only waiting counts, not the time pstore takes to format and compress the
 * parts. Two measures run side by side and the larger one holds: the clock,
 * which needs no interrupt, and the delay loops, in case it stands still.
 */
struct vpstore_budget {
	u64	limit;
	u64	spent;
	u64	start;
	u64	counted;
};

/**
 * struct vpstore_text - what a WRITE carries
 * @type:	VIRTIO_PSTORE_TYPE_*
 * @flags:	VIRTIO_PSTORE_FL_*
 * @count:	oopses since boot
 * @data:	any kernel memory; the caller's, read only during the call
 * @len:	bytes at @data
 */
struct vpstore_text {
	u16		type;
	u32		flags;
	u32		count;
	const void	*data;
	size_t		len;
};

/**
 * struct vpstore - a virtio-pstore device
 * @vdev:		the virtio device
 * @psi:		the pstore source; pstore owns its locks. psi.buf is
 *			pstore's to write to and never enters a descriptor
 * @bufsize:		bytes in a record at most
 * @console_offered:	the device takes records of type CONSOLE
 * @queues:		by virtqueue index
 * @command_q:		OPEN, READ, ERASE and CLOSE go here
 * @write_q:		WRITE goes here; the same one if there is only one
 * @command_lock:	one command at a time; its holder owns @command
 * @command:		the commands' slot
 * @answered:		where a command waits
 * @skips_left:		records this walk may still leave out; read_mutex
 * @dump:		slots for dumps
 * @budget:		of the dump under way; psi.buf_lock
 * @dump_count:		which dump that is; psi.buf_lock
 * @console:		slots for console text, NULL where it isn't sent
 * @console_dropped:	console writes that found no room
 */
struct vpstore {
	struct virtio_device	*vdev;
	struct pstore_info	psi;
	u32			bufsize;
	bool			console_offered;

	struct vpstore_queue	queues[VIRTIO_PSTORE_VQ_COUNT];
	struct vpstore_queue	*command_q;
	struct vpstore_queue	*write_q;

	struct mutex		command_lock;	/* one command at a time */
	struct vpstore_slot	*command;
	wait_queue_head_t	answered;
	unsigned int		skips_left;

	struct vpstore_slot	*dump[VPSTORE_DUMP_SLOTS];
	struct vpstore_budget	budget;
	int			dump_count;

	struct vpstore_slot	*console[VPSTORE_CONSOLE_SLOTS];
	atomic_long_t		console_dropped;
};

/* ring.c */
int vpstore_slots_alloc(struct vpstore *vp);
void vpstore_slots_free(struct vpstore *vp);
int vpstore_ring_start(struct vpstore *vp);
void vpstore_ring_stop(struct vpstore *vp);
int vpstore_command(struct vpstore *vp, u16 cmd, u16 type, u64 id, u32 count);
int vpstore_write_wait(struct vpstore *vp, const struct vpstore_text *text,
		       struct vpstore_budget *budget);
int vpstore_write_nowait(struct vpstore *vp, const struct vpstore_text *text);
void vpstore_budget_init(struct vpstore_budget *budget, unsigned int ms);

/* source.c */
int vpstore_source_register(struct vpstore *vp);
void vpstore_source_unregister(struct vpstore *vp);

#endif /* _VPSTORE_H */
