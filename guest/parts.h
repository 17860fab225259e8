/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VPSTORE_PARTS_H
#define _VPSTORE_PARTS_H
/*
 * virtio-pstore driver: what Kconfig can leave out. Without any of it main.c
 * and the core are a driver.
 */
#include <linux/virtio_config.h>

#include "vpstore.h"

#define vpstore_config_offset(field) \
	offsetof(struct virtio_pstore_config, field)

#ifdef CONFIG_VIRTIO_PSTORE_QUIRKS
u32 vpstore_config_len(struct virtio_device *vdev);
void vpstore_quirks(struct vpstore *vp);
#else
/* As much as the feature bits promise. */
static inline u32 vpstore_config_len(struct virtio_device *vdev)
{
	if (!vdev->config->get)
		return 0;
	return virtio_has_feature(vdev, VIRTIO_PSTORE_F_EXTENDED) ?
	       vpstore_config_offset(magic) :
	       vpstore_config_offset(flags);
}

static inline void vpstore_quirks(struct vpstore *vp) { }
#endif

/* Whatever can't be read is 0: a transport may fail without a word. */
static inline u32 vpstore_config_read(struct virtio_device *vdev,
				      unsigned int offset)
{
	__le32 value = 0;

	if (vpstore_config_len(vdev) >= offset + sizeof(value))
		vdev->config->get(vdev, offset, &value, sizeof(value));
	return le32_to_cpu(value);
}

#ifdef CONFIG_VIRTIO_PSTORE_BOOT_ID
bool vpstore_boot_id_read(u8 *id);
#else
static inline bool vpstore_boot_id_read(u8 *id) { return false; }
#endif

#ifdef CONFIG_VIRTIO_PSTORE_REFERENCE
bool vpstore_reference_start(struct vpstore *vp);
#else
static inline bool vpstore_reference_start(struct vpstore *vp) { return false; }
#endif

#ifdef CONFIG_VIRTIO_PSTORE_PMSG
void vpstore_pmsg_prepare(struct vpstore *vp);
void vpstore_pmsg_start(struct vpstore *vp);
void vpstore_pmsg_halt(struct vpstore *vp);
void vpstore_pmsg_stop(struct vpstore *vp);
#else
static inline void vpstore_pmsg_prepare(struct vpstore *vp) { }
static inline void vpstore_pmsg_start(struct vpstore *vp) { }
static inline void vpstore_pmsg_halt(struct vpstore *vp) { }
static inline void vpstore_pmsg_stop(struct vpstore *vp) { }
#endif

#ifdef CONFIG_VIRTIO_PSTORE_CONSOLE
void vpstore_console_start(struct vpstore *vp);
void vpstore_console_stop(struct vpstore *vp);
void vpstore_console_send_rest(struct vpstore *vp);
void vpstore_console_halt(struct vpstore *vp);
void vpstore_console_resume(struct vpstore *vp);
bool vpstore_console_pause(struct vpstore *vp, bool panic);
void vpstore_console_skip(struct vpstore *vp, bool panic, u64 count);
void vpstore_listen_start(struct vpstore *vp);
void vpstore_listen_stop(struct vpstore *vp);
#else
static inline void vpstore_console_start(struct vpstore *vp) { }
static inline void vpstore_console_stop(struct vpstore *vp) { }
static inline void vpstore_console_send_rest(struct vpstore *vp) { }
static inline void vpstore_console_halt(struct vpstore *vp) { }
static inline void vpstore_console_resume(struct vpstore *vp) { }

static inline bool vpstore_console_pause(struct vpstore *vp, bool panic)
{
	return false;
}

static inline void vpstore_console_skip(struct vpstore *vp, bool panic,
					u64 count) { }
static inline void vpstore_listen_start(struct vpstore *vp) { }
static inline void vpstore_listen_stop(struct vpstore *vp) { }
#endif

#ifdef CONFIG_VIRTIO_PSTORE_TRACE
void vpstore_trace_start(struct vpstore *vp);
void vpstore_trace_stop(struct vpstore *vp);
#else
static inline void vpstore_trace_start(struct vpstore *vp) { }
static inline void vpstore_trace_stop(struct vpstore *vp) { }
#endif

#endif /* _VPSTORE_PARTS_H */
