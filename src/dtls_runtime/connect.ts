// Clients on a socket.

import type { AddressedCore, AddressedDatagram, Milliseconds } from "../base/core.ts";
import { DtlsAssociation } from "../dtls/association.ts";
import type { DtlsClientOptions } from "../dtls/options.ts";
import { monotonicNow, UdpDriver } from "../net/driver.ts";
import {
  addressText,
  addressTowards,
  type DatagramSocket,
  type UdpAddress,
} from "../net/socket.ts";
import { type ConnectedAssociation, RunningAssociation } from "./association.ts";
import { RUNTIME_LIMITS } from "./limits.ts";
import { clientOptions, type ConnectDtlsOptions } from "./options.ts";
import { udpRuntime } from "./runtime.ts";

/** One association, seen from its socket: a peer whose address never changes. */
class ClientCore implements AddressedCore {
  readonly #association: DtlsAssociation;
  readonly #running: RunningAssociation;
  readonly #server: string;

  constructor(association: DtlsAssociation, running: RunningAssociation, server: string) {
    this.#association = association;
    this.#running = running;
    this.#server = server;
  }

  handleDatagram(bytes: Uint8Array, address: string, now: Milliseconds): void {
    if (address !== this.#server) return;
    this.#association.handleDatagram(bytes, now);
    this.#running.settle(now);
  }

  handleTimeout(now: Milliseconds): void {
    this.#running.handleTimeout(now);
  }

  pollTransmit(now: Milliseconds): AddressedDatagram | undefined {
    const bytes = this.#running.pollTransmit(now);
    if (bytes !== undefined) return { bytes, address: this.#server };
    // Sending may have worn out the key, and so ended the association.
    this.#running.settle(now);
    return undefined;
  }

  pollTimeout(): Milliseconds {
    return this.#running.pollTimeout();
  }
}

/** Runs the handshake of a client on its socket, which lives as long as the association. */
function connectOn(
  socket: DatagramSocket,
  server: UdpAddress,
  dtls: DtlsClientOptions,
  { limits, signal, onSession, earlyData = [], onEarlyDataLost }: ConnectDtlsOptions,
): Promise<ConnectedAssociation> {
  return new Promise((resolve, reject) => {
    const now = monotonicNow();
    let failure: unknown;
    const stop = () => void running.close();
    const association = DtlsAssociation.client(dtls, now);
    const running = new RunningAssociation(association, { ...RUNTIME_LIMITS, ...limits }, {
      onWork: () => driver.wake(),
      onConnected: () => {
        signal?.removeEventListener("abort", stop);
        resolve(running);
      },
      onSession: (session) => onSession?.(session),
      onEarlyData: () => {},
      onEarlyDataLost: (messages) => onEarlyDataLost?.(messages),
      onHandshakeFailed: (error) => failure = error,
      onSilent: async () => {
        signal?.removeEventListener("abort", stop);
        await driver.close();
        running.abandon(monotonicNow());
        reject(failure ?? signal?.reason);
      },
      address: () => server,
    }, now);
    running.sendEarlyData(earlyData);
    const core = new ClientCore(association, running, addressText(server));
    const driver = new UdpDriver(socket, core, () => {});
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Connects to a DTLS server. Resolves when the handshake is complete and the server's certificate was verified.
 *
 * Rejects with `DtlsError` `bad-option` for certificates or keys that cannot be used, `AddressError` for a host that
 * has no address, the signal's reason when it is aborted, and what ended the handshake otherwise: `DtlsFault` (the
 * server is not acceptable: `reason` says why), `DtlsAlertError` (the server has refused), `DtlsError`
 * (`handshake-timeout`).
 */
export async function connectDtls(options: ConnectDtlsOptions): Promise<ConnectedAssociation> {
  const { hostname, port, signal, udp = udpRuntime() } = options;
  signal?.throwIfAborted();
  const dtls = await clientOptions(options);
  const address = await udp.resolveHost(hostname);
  const socket = await udp.listen(addressTowards(address), 0);
  if (signal?.aborted) {
    socket.close();
    signal.throwIfAborted();
  }
  return connectOn(socket, { hostname: address, port }, dtls, options);
}
