// UDP sockets of Deno: the one place that opens them.

import {
  AddressError,
  addressText,
  addressTowards,
  type DatagramSink,
  type DatagramSocket,
  isIpAddress,
  isLocalhostName,
  type UdpAddress,
  type UdpRuntime,
} from "./socket.ts";

/** Datagrams that are received before other work of the thread gets its turn. */
const RECEIVES_PER_TURN_MAX = 64;

/** Bytes of the largest datagram that UDP over IPv4 carries. */
const DATAGRAM_BYTES_MAX = 65_507;

/** A socket of `Deno.listenDatagram`. */
export class DenoDatagramSocket implements DatagramSocket {
  readonly #socket: Deno.DatagramConn;
  #isClosed = false;

  /** Wraps a socket. */
  constructor(socket: Deno.DatagramConn) {
    this.#socket = socket;
  }

  get address(): UdpAddress {
    const { hostname, port } = this.#socket.addr as Deno.NetAddr;
    return { hostname, port };
  }

  async receive(sink: DatagramSink): Promise<void> {
    // Where the system writes each datagram; what is handed on is a copy of its size.
    const buffer = new Uint8Array(DATAGRAM_BYTES_MAX);
    for (let received = 1; !this.#isClosed; received++) {
      let datagram: [Uint8Array, Deno.Addr];
      try {
        datagram = await this.#socket.receive(buffer);
      } catch (error) {
        // A datagram that the system could not give is a lost one; a closed socket is the end.
        if (this.#isClosed || error instanceof Deno.errors.BadResource) return;
        sink.onReceiveFailed();
        await othersTurn();
        continue;
      }
      const [bytes, from] = datagram;
      sink.onDatagram(bytes.slice(), from as Deno.NetAddr);
      // The others of this thread go on only when no microtask is left.
      if (received % RECEIVES_PER_TURN_MAX === 0) await othersTurn();
    }
  }

  async send(bytes: Uint8Array, { hostname, port }: UdpAddress): Promise<void> {
    await this.#socket.send(bytes, { transport: "udp", hostname, port });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

/** Resolves after the turn that is due, and whatever else was due before. */
function othersTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

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
