// What a handshake has settled, for the layers above to look at.

/** The outcome of a handshake, apart from its secrets. */
export interface HandshakeOutcome {
  /** The cipher suite; see `CipherSuite` for its number. */
  readonly suite: { readonly suite: number };
  /** The group of the key exchange; see `NamedGroup`. */
  readonly group: number;
  /** The protocol that ALPN chose. */
  readonly alpn: string | undefined;
  /** The server name that the client asked for. */
  readonly serverName: string | undefined;
  /** The peer's verified chain in DER, leaf first; empty where it presented none. */
  readonly peerChain: readonly Uint8Array[];
  /** Whether a session was resumed. */
  readonly isResumed: boolean;
  /** The identity of the external PSK that vouched for the peer, in this handshake or before a resumption. */
  readonly pskIdentity: Uint8Array | undefined;
}

/** Something whose handshake may be complete. */
export abstract class SettledHandshake {
  /** The outcome, once connected. */
  protected outcome: HandshakeOutcome | undefined;

  /** The protocol that ALPN chose, once connected. */
  get alpn(): string | undefined {
    return this.outcome?.alpn;
  }

  /** The server name that the client asked for, once connected. */
  get serverName(): string | undefined {
    return this.outcome?.serverName;
  }

  /** The cipher suite's number, once connected. */
  get cipherSuite(): number | undefined {
    return this.outcome?.suite.suite;
  }

  /** The key exchange group's number, once connected. */
  get group(): number | undefined {
    return this.outcome?.group;
  }

  /** The peer's verified chain in DER, leaf first; empty where it presented none, or before it is connected. */
  get peerChain(): readonly Uint8Array[] {
    return this.outcome?.peerChain ?? [];
  }

  /** Whether a session was resumed, once connected. */
  get isResumed(): boolean {
    return this.outcome?.isResumed ?? false;
  }

  /** The identity of the external PSK that vouched for the peer, in this handshake or before a resumption. */
  get pskIdentity(): Uint8Array | undefined {
    return this.outcome?.pskIdentity;
  }
}
