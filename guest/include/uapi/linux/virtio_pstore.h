/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
#ifndef _UAPI_LINUX_VIRTIO_PSTORE_H
#define _UAPI_LINUX_VIRTIO_PSTORE_H
/*
 * The virtio-pstore wire, version 2. This header is its only definition in
 * code; docs/protocol.md is the specification. Every field is little-endian.
 */
#include <linux/types.h>
#include <linux/virtio_types.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_config.h>

#ifndef VIRTIO_ID_PSTORE
#define VIRTIO_ID_PSTORE		22
#endif

/* Virtqueues. A driver may place any command on either. */
#define VIRTIO_PSTORE_VQ_READ		0	/* the driver waits for the answer */
#define VIRTIO_PSTORE_VQ_WRITE		1	/* several requests in flight */
#define VIRTIO_PSTORE_VQ_COUNT		2
/* Only with F_PANIC_VQ: nothing but a dying guest places anything here */
#define VIRTIO_PSTORE_VQ_PANIC		2

/* Feature bits. A VMM may keep them from the driver: see CONFIG_MAGIC. */
#define VIRTIO_PSTORE_F_EXTENDED	0	/* config has types to boot_id */
#define VIRTIO_PSTORE_F_PANIC_VQ	1	/* there is VQ_PANIC */

/* virtio_pstore_req.cmd, echoed in virtio_pstore_res.cmd */
#define VIRTIO_PSTORE_CMD_NULL		0
#define VIRTIO_PSTORE_CMD_OPEN		1
#define VIRTIO_PSTORE_CMD_READ		2
#define VIRTIO_PSTORE_CMD_WRITE		3
#define VIRTIO_PSTORE_CMD_ERASE		4
#define VIRTIO_PSTORE_CMD_CLOSE		5

/* Record types */
#define VIRTIO_PSTORE_TYPE_UNKNOWN	0
#define VIRTIO_PSTORE_TYPE_DMESG	1
#define VIRTIO_PSTORE_TYPE_CONSOLE	2
#define VIRTIO_PSTORE_TYPE_FTRACE	3	/* only with F_EXTENDED */
#define VIRTIO_PSTORE_TYPE_PMSG		4	/* only with F_EXTENDED */

/* virtio_pstore_req.flags and virtio_pstore_fileinfo.flags */
#define VIRTIO_PSTORE_FL_COMPRESSED	(1 << 0)

/*
 * virtio_pstore_config.flags. Bits 16 to 31 are 0: a driver that finds one set
 * reads a device of 2016 that has no flags, or has garbage there.
 */
#define VIRTIO_PSTORE_CONFIG_FL_CONSOLE	(1 << 0)	/* type CONSOLE is accepted */

/*
 * virtio_pstore_config.magic. A driver that reads it, but was offered no
 * F_EXTENDED, takes both feature bits for negotiated and writes a boot_id.
 */
#define VIRTIO_PSTORE_CONFIG_MAGIC	0x9cc7cde5b6de5aa1ULL

struct virtio_pstore_req {
	__le16		cmd;
	__le16		type;
	__le32		flags;
	__le64		id;
	__le32		count;
	__le32		reserved;
};

struct virtio_pstore_res {
	__le16		cmd;
	__le16		type;
	__le32		ret;		/* 0 or a negative errno, as a signed value */
};

struct virtio_pstore_fileinfo {
	__le64		id;
	__le32		count;
	__le16		type;
	__le16		unused;
	__le32		flags;
	__le32		len;		/* bytes of data that follow */
	__le64		time_sec;	/* since 1970-01-01 UTC */
	__le32		time_nsec;
	__le32		reserved;
};

#define VIRTIO_PSTORE_BOOT_ID_LEN	16

struct virtio_pstore_config {
	__le32		bufsize;	/* bytes; the driver writes back what it uses */
	__le32		flags;		/* read-only for the driver */

	/* The rest exists with F_EXTENDED or CONFIG_MAGIC only. */
	__le32		types;		/* bit N: records of type N are taken; read-only */
	__le32		max_data;	/* bytes of data in a WRITE at most; read-only */
	/* Random, one for each of the guest's boots; written before any request */
	__u8		boot_id[VIRTIO_PSTORE_BOOT_ID_LEN];
	__le64		magic;		/* read-only; perhaps behind the end */
};

/*
 * The data of a WRITE of type DMESG or FTRACE that isn't COMPRESSED may begin
 * with a line that says which dump it belongs to, made by the driver:
 *
 *   Panic#1 Part2 boot=<32 hex digits> time=<s>.<9 digits> oldest-first last
 *
 * "oldest-first" says that Part1 has the oldest text, and "last" that no part
 * of this dump follows.
 */

#endif /* _UAPI_LINUX_VIRTIO_PSTORE_H */
