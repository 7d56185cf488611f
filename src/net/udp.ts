// UDP sockets: the one place that opens them.

import { addressText } from "./driver.ts";

/** The address could not be used. */
export class AddressError extends Error {
  override readonly name = "AddressError";
}

/** Whether a text is an IP address rather than a name. */
function isIpAddress(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** The IP address of a host. Throws {@linkcode AddressError} for a name that has none. */
export async function resolveHost(host: string): Promise<string> {
  if (isIpAddress(host)) return host;
  // RFC 6761 section 6.3: names that end in localhost mean the loopback address, without a question to anybody.
  if (host === "localhost" || host.endsWith(".localhost")) return "127.0.0.1";
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
export function openUdpSocket(peer: string): Deno.DatagramConn {
  const isLoopback = peer === "::1" || peer.startsWith("127.");
  const unspecified = peer.includes(":") ? "::" : "0.0.0.0";
  const loopback = peer.includes(":") ? "::1" : "127.0.0.1";
  return Deno.listenDatagram({
    transport: "udp",
    hostname: isLoopback ? loopback : unspecified,
    port: 0,
  });
}

/** A server's socket. Throws {@linkcode AddressError} where the address cannot be used. */
export function listenUdp(hostname: string, port: number): Deno.DatagramConn {
  try {
    return Deno.listenDatagram({ transport: "udp", hostname, port });
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
