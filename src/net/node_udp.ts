// UDP sockets of Node.js and Bun, by node:dgram.

import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import {
  AddressError,
  addressText,
  type DatagramSink,
  type DatagramSocket,
  isIpAddress,
  isLocalhostName,
  type UdpAddress,
  type UdpRuntime,
} from "./socket.ts";

/** A socket of node:dgram that is bound. The runtime gives it datagrams in bounded turns of its own. */
class NodeDatagramSocket implements DatagramSocket {
  readonly address: UdpAddress;
  readonly #socket: Socket;
  #isClosed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.address = { hostname: address, port };
  }

  receive(sink: DatagramSink): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.on("close", resolve);
      this.#socket.on("error", () => sink.onReceiveFailed());
      this.#socket.on("message", (message, { address, port }) => {
        try {
          // A Buffer's slice is a view: what is handed on is a plain array of its own.
          sink.onDatagram(new Uint8Array(message), { hostname: address, port });
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  send(bytes: Uint8Array, { hostname, port }: UdpAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null) => error === null ? resolve() : reject(error);
      this.#socket.send(bytes, port, hostname, (error) => done(error ?? null));
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

/** The address of a host as the system finds it. Throws {@linkcode AddressError} for a name that has none. */
async function resolveHost(host: string): Promise<string> {
  if (isIpAddress(host)) return host;
  if (isLocalhostName(host)) return "127.0.0.1";
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new AddressError(`the host ${host} could not be looked up`, { cause: error });
  }
}

/** Opens a socket. Throws {@linkcode AddressError} where the address cannot be used. */
function listen(hostname: string, port: number): Promise<DatagramSocket> {
  const text = addressText({ hostname, port });
  const socket = createSocket(hostname.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      socket.close();
      const reason = (error as NodeJS.ErrnoException).code === "EADDRINUSE"
        ? "is in use"
        : `cannot be used: ${error.message}`;
      reject(new AddressError(`${text} ${reason}`, { cause: error }));
    };
    socket.once("error", onError);
    socket.bind({ address: hostname, port }, () => {
      socket.off("error", onError);
      resolve(new NodeDatagramSocket(socket));
    });
  });
}

/** The UDP of Node.js and Bun. */
export const nodeUdp: UdpRuntime = { resolveHost, listen };
