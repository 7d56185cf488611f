// The five verbs that every layer has, so that a whole endpoint runs without socket, timer or clock.

/** Milliseconds since the Unix epoch on a monotonic clock, fractions included. */
export type Milliseconds = number;

/** The deadline of something that will not happen. */
export const NEVER: Milliseconds = Infinity;

/** Source of unpredictable bytes; seeded in simulations, the system's everywhere else. */
export type Entropy = (lengthBytes: number) => Uint8Array;

/** A sans-IO state machine: the caller brings bytes and time, and drains what comes of them. */
export interface Core<Event> {
  /** Takes one received datagram (or the layer's equivalent). Never throws, whatever the bytes are. */
  handleDatagram(bytes: Uint8Array, now: Milliseconds): void;
  /** Runs what was due at `now`; harmless when nothing was. */
  handleTimeout(now: Milliseconds): void;
  /** The next datagram to send, or `undefined` when there is none for now. */
  pollTransmit(now: Milliseconds): Uint8Array | undefined;
  /** When {@linkcode Core.handleTimeout} wants to be called next; {@linkcode NEVER} for not at all. */
  pollTimeout(): Milliseconds;
  /** The next event for the layer above, or `undefined` when there is none. */
  pollEvent(): Event | undefined;
}

/** A datagram and the address it is from or for. Only the network adapter reads more of an address than its host. */
export interface AddressedDatagram {
  /** The datagram. */
  readonly bytes: Uint8Array;
  /** Whom it is from or for. */
  readonly address: string;
}

/** A core that many peers reach through one socket. */
export interface AddressedCore {
  /** Takes one datagram. Never throws, whatever the bytes are. */
  handleDatagram(bytes: Uint8Array, address: string, now: Milliseconds): void;
  /** Runs what was due at `now`; harmless when nothing was. */
  handleTimeout(now: Milliseconds): void;
  /** The next datagram to send, or `undefined` when there is none for now. */
  pollTransmit(now: Milliseconds): AddressedDatagram | undefined;
  /** When {@linkcode AddressedCore.handleTimeout} wants to be called next; {@linkcode NEVER} for not at all. */
  pollTimeout(): Milliseconds;
}
