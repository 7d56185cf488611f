// What a UDP socket is to the driver: the same small interface over every runtime's own.

/** A UDP address: an IP address and a port. */
export interface UdpAddress {
  /** The IP address; IPv6 without brackets. */
  readonly hostname: string;
  /** The port. */
  readonly port: number;
}

/** Takes what a socket receives. */
export interface DatagramSink {
  /** Takes one datagram. The bytes are the sink's to keep. */
  onDatagram(bytes: Uint8Array, from: UdpAddress): void;
  /** The system could not give a datagram: as good as a lost one. */
  onReceiveFailed(): void;
}

/** A bound UDP socket. */
export interface DatagramSocket {
  /** Where it is bound. */
  readonly address: UdpAddress;
  /**
   * Gives every datagram to the sink, in bounded turns, until the socket is closed; then it resolves. Called once.
   * Rejects with what the sink throws.
   */
  receive(sink: DatagramSink): Promise<void>;
  /** Hands a datagram to the system. Rejects where the system does not take it. */
  send(bytes: Uint8Array, to: UdpAddress): Promise<unknown>;
  /** Closes the socket. */
  close(): void;
}

/** The UDP of one runtime. */
export interface UdpRuntime {
  /** The IP address of a host. Rejects with {@linkcode AddressError} for a name that has none. */
  resolveHost(host: string): Promise<string>;
  /** Opens a socket; port 0 is one of the system's choice. Rejects with {@linkcode AddressError}. */
  listen(hostname: string, port: number): Promise<DatagramSocket>;
}

/** The address could not be used. */
export class AddressError extends Error {
  /** The type's name. */
  override readonly name = "AddressError";
}

/** Whether a text is an IP address rather than a name. */
export function isIpAddress(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** RFC 6761 section 6.3: names that end in localhost mean the loopback address, without a question to anybody. */
export function isLocalhostName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

/** The address that a socket for `peer`, an IP address, is bound to. */
export function addressTowards(peer: string): string {
  const isLoopback = peer === "::1" || peer.startsWith("127.");
  if (peer.includes(":")) return isLoopback ? "::1" : "::";
  return isLoopback ? "127.0.0.1" : "0.0.0.0";
}

/** A UDP address as text: `host:port`, IPv6 hosts in brackets. */
export function addressText({ hostname, port }: UdpAddress): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** The address of a text that {@linkcode addressText} made. */
export function parseAddress(address: string): UdpAddress {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon);
  const hostname = host.startsWith("[") ? host.slice(1, -1) : host;
  return { hostname, port: Number(address.slice(colon + 1)) };
}

/** The address of the last datagram, as text and parsed: most have the same as the one before. */
export class LastAddress {
  #address: UdpAddress = { hostname: "", port: 0 };
  #text = "";

  /** See {@linkcode addressText}. */
  textOf(address: UdpAddress): string {
    const { hostname, port } = this.#address;
    if (address.port === port && address.hostname === hostname) return this.#text;
    this.#address = address;
    this.#text = addressText(address);
    return this.#text;
  }

  /** See {@linkcode parseAddress}. */
  parse(text: string): UdpAddress {
    if (text === this.#text) return this.#address;
    this.#text = text;
    this.#address = parseAddress(text);
    return this.#address;
  }
}
