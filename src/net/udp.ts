// The UDP of Deno: the one place that opens its sockets.

import { DenoDatagramSocket } from "./deno_socket.ts";
import {
  AddressError,
  addressText,
  addressTowards,
  type DatagramSocket,
  isIpAddress,
  isLocalhostName,
  type UdpRuntime,
} from "./socket.ts";

/** The IP address of a host. Throws {@linkcode AddressError} for a name that has none. */
export async function resolveHost(host: string): Promise<string> {
  if (isIpAddress(host)) return host;
  if (isLocalhostName(host)) return "127.0.0.1";
  for (const type of ["A", "AAAA"] as const) {
    try {
      const [found] = await Deno.resolveDns(host, type);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw new AddressError(`the host ${host} could not be looked up`, { cause: error });
      }
    }
  }
  throw new AddressError(`the host ${host} has no address`);
}

/** A socket of this machine's choice to talk to `peer`, an IP address. */
export function openUdpSocket(peer: string): DatagramSocket {
  return listenUdp(addressTowards(peer), 0);
}

/** A server's socket. Throws {@linkcode AddressError} where the address cannot be used. */
export function listenUdp(hostname: string, port: number): DatagramSocket {
  try {
    return new DenoDatagramSocket(Deno.listenDatagram({ transport: "udp", hostname, port }));
  } catch (error) {
    const text = addressText({ hostname, port });
    if (error instanceof Deno.errors.AddrInUse) {
      throw new AddressError(`${text} is in use`, { cause: error });
    }
    if (error instanceof Deno.errors.AddrNotAvailable) {
      throw new AddressError(`${text} is not an address of this machine`, { cause: error });
    }
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    // A name that cannot be looked up, a port that takes a privilege, no IPv6.
    throw new AddressError(`${text} cannot be used: ${error.message}`, { cause: error });
  }
}

/** The UDP of Deno, which takes `"unstable": ["net"]` in its configuration. */
export const denoUdp: UdpRuntime = {
  resolveHost,
  listen: (hostname, port) => Promise.resolve().then(() => listenUdp(hostname, port)),
};
