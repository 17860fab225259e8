import { VIRTIO_ID_PSTORE } from "../../device/index.js";
import type { Vmm } from "./command.js";

/** user-mode-linux: a kernel that is a process, and a vhost-user front-end itself. */
export const uml: Vmm = {
  name: "user-mode-linux",
  check: () => undefined,
  addDevice: (command, args, socketPath) => {
    // What follows `--` is for the guest's init.
    const end = args.indexOf("--");
    const kernel = end < 0 ? args : args.slice(0, end);
    const init = end < 0 ? [] : args.slice(end);
    const device = `virtio_uml.device=${socketPath}:${VIRTIO_ID_PSTORE}`;
    return { command, args: [...kernel, device, ...init] };
  },
};
