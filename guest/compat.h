/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_COMPAT_H
#define _VPSTORE_COMPAT_H
/*
 * Every difference between the kernels this module is built for, 6.1 and
 * later, lives here.
 */
#include <linux/kmsg_dump.h>
#include <linux/version.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

/*
 * Where there is VMCOREINFO, and the device sees the memory it describes:
 * user-mode-linux doesn't share .data and .bss.
 */
#if defined(CONFIG_64BIT) && defined(__LITTLE_ENDIAN) && !defined(CONFIG_UML)
#if defined(CONFIG_VMCORE_INFO)
#include <linux/vmcore_info.h>
#define VPSTORE_VMCOREINFO
#elif defined(CONFIG_CRASH_CORE)
#include <linux/crash_core.h>
#define VPSTORE_VMCOREINFO
#endif
#endif

/*
 * A probe of printk's tracepoint "console", whose symbol is exported from 6.4 on.
 * Until 6.3 changed it, printk passed that in a way that is for the idle loop and
 * forbidden in an NMI, where it is a WARN() once a probe is there.
 */
#if defined(CONFIG_TRACEPOINTS) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/printk.h>
#define VPSTORE_TRACEPOINT
#define vpstore_probe_printk(probe, data)	\
	register_trace_console(probe, data)
#define vpstore_unprobe_printk(probe, data)	\
	unregister_trace_console(probe, data)
#endif

#define VPSTORE_VQS_MAX	3

/* 6.11 gathered the queues' names and callbacks into one array. */
static inline int vpstore_find_vqs(struct virtio_device *vdev,
				   unsigned int count, struct virtqueue *vqs[],
				   const char * const names[],
				   vq_callback_t *callback)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info info[VPSTORE_VQS_MAX] = {
		{ .name = names[0], .callback = callback },
		{ .name = names[1], .callback = callback },
		{ .name = names[2], .callback = callback },
	};

	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#else
	vq_callback_t *callbacks[VPSTORE_VQS_MAX] = {
		callback, callback, callback
	};

	return virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
#endif
}

/* 6.12 hands a dumper the reason in a structure, with a description. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define VPSTORE_DUMP_ARG		struct kmsg_dump_detail *detail
#define VPSTORE_DUMP_REASON		(detail->reason)
#else
#define VPSTORE_DUMP_ARG		enum kmsg_dump_reason reason
#define VPSTORE_DUMP_REASON		(reason)
#endif

#endif /* _VPSTORE_COMPAT_H */
