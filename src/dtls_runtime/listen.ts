// Servers on a socket.

import type { Milliseconds } from "../base/core.ts";
import { monotonicNow, UdpDriver } from "../net/driver.ts";
import type { DatagramSocket, UdpAddress } from "../net/socket.ts";
import type { ConnectedAssociation } from "./association.ts";
import { EndpointCore } from "./endpoint_core.ts";
import { RUNTIME_LIMITS } from "./limits.ts";
import { type ListenDtlsOptions, serverOptions } from "./options.ts";
import { udpRuntime } from "./runtime.ts";

/** How often a closing endpoint looks whether everything was said. */
const CLOSE_CHECK_MS = 10;

/** What an endpoint has counted. */
export interface ListeningEndpointCounters {
  /** Datagrams of the socket, and its failures, which are as good as lost datagrams. */
  readonly socket: Readonly<Record<string, number>>;
  /** Datagrams that were dropped before any association saw them, by reason: strangers, noise, limits. */
  readonly endpointDrops: Readonly<Record<string, number>>;
  /** What was dropped of associations, by reason. */
  readonly associationDrops: Readonly<Record<string, number>>;
  /** Handshakes that came to nothing, by reason. */
  readonly handshakeFailures: Readonly<Record<string, number>>;
}

/**
 * A socket that associations come from: an async iterable of those whose handshake is complete. A loop over it ends
 * when the endpoint is closed.
 */
export interface ListeningEndpoint extends AsyncIterable<ConnectedAssociation>, AsyncDisposable {
  /** Where it listens. */
  readonly addr: UdpAddress;
  /** How many associations there are, those in a handshake and those that have just ended included. */
  readonly associationCount: number;
  /** What was counted since it began. Noise is dropped in silence; here it shows. */
  counters(): ListeningEndpointCounters;
  /** Closes every association in order, then the socket. Harmless when it is closed. */
  close(): Promise<void>;
}

class SocketEndpoint implements ListeningEndpoint {
  readonly addr: UdpAddress;
  readonly #core: EndpointCore;
  readonly #driver: UdpDriver;
  readonly #closeMsMax: Milliseconds;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => void this.close();
  #closing: Promise<void> | undefined;

  constructor(
    socket: DatagramSocket,
    options: ListenDtlsOptions,
    dtls: Awaited<ReturnType<typeof serverOptions>>,
  ) {
    const limits = { ...RUNTIME_LIMITS, ...options.limits };
    this.addr = socket.address;
    this.#closeMsMax = limits.closeMsMax;
    this.#core = new EndpointCore({
      dtls,
      endpointLimits: options.limits ?? {},
      limits,
      onEarlyData: options.onEarlyData,
      onHandshakeFailed: options.onHandshakeFailed,
      wake: () => this.#driver.wake(),
    }, monotonicNow());
    this.#driver = new UdpDriver(socket, this.#core, () => {});
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get associationCount(): number {
    return this.#core.associationCount;
  }

  counters(): ListeningEndpointCounters {
    return {
      socket: this.#driver.counters.snapshot(),
      endpointDrops: this.#core.endpointDrops(),
      associationDrops: this.#core.associationDrops(),
      handshakeFailures: this.#core.handshakeFailures.snapshot(),
    };
  }

  [Symbol.asyncIterator](): AsyncIterator<ConnectedAssociation, undefined> {
    return this.#core.waiting[Symbol.asyncIterator]();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#core.close();
    const until = monotonicNow() + this.#closeMsMax;
    while (!this.#core.isSilent && monotonicNow() < until) {
      this.#driver.wake();
      await new Promise((resolve) => setTimeout(resolve, CLOSE_CHECK_MS));
    }
    await this.#driver.close();
    this.#core.destroy(monotonicNow());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Listens for DTLS associations on a UDP socket. Resolves when the socket is bound. Strangers are asked to show that
 * they own their address before anything is kept of them, and a handshake that is slow, or never ends, holds up no
 * other.
 *
 * Rejects with `DtlsError` `bad-option` for certificates or keys that cannot be used, and with `AddressError` for an
 * address that cannot.
 */
export async function listenDtls(options: ListenDtlsOptions): Promise<ListeningEndpoint> {
  const { hostname = "127.0.0.1", port = 0, signal, udp = udpRuntime() } = options;
  signal?.throwIfAborted();
  const dtls = await serverOptions(options);
  const socket = await udp.listen(hostname, port);
  if (signal?.aborted) {
    socket.close();
    signal.throwIfAborted();
  }
  return new SocketEndpoint(socket, options, dtls);
}
