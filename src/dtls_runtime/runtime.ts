// Which runtime this is, as far as sockets go.

import { nodeUdp } from "../net/node_udp.ts";
import type { UdpRuntime } from "../net/socket.ts";
import { denoUdp } from "../net/udp.ts";

/**
 * The UDP of this runtime: Deno's own where the program has it (`"unstable": ["net"]`), else node:dgram, which
 * Node.js, Bun and Deno have.
 */
export function udpRuntime(): UdpRuntime {
  return typeof Deno !== "undefined" && typeof Deno.listenDatagram === "function"
    ? denoUdp
    : nodeUdp;
}
