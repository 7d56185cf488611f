// The flags that the BoGo runner starts its shim with.

/** What stands after a flag: nothing, or one argument. */
type Arity = 0 | 1;

/**
 * The flags that the shim understands, as BoringSSL's test_config.cc names them. A test that needs another one is
 * "unimplemented".
 */
const FLAGS: Readonly<Record<string, Arity>> = {
  // The connection to the runner.
  "-port": 1,
  "-shim-id": 1,
  "-ipv6": 0,
  "-is-handshaker-supported": 0,
  // The handshake's shape.
  "-server": 0,
  "-dtls": 0,
  "-resume-count": 1,
  "-async": 0,
  "-implicit-handshake": 0,
  "-mtu": 1,
  "-initial-timeout-duration-ms": 1,
  "-min-version": 1,
  "-max-version": 1,
  "-no-tls1": 0,
  "-no-tls11": 0,
  "-no-tls12": 0,
  "-no-tls13": 0,
  "-curves": 1,
  "-host-name": 1,
  "-advertise-alpn": 1,
  "-allow-unknown-alpn-protos": 0,
  "-select-alpn": 1,
  "-select-empty-alpn": 0,
  "-decline-alpn": 0,
  "-reject-alpn": 0,
  "-expect-advertised-alpn": 1,
  "-verify-prefs": 1,
  "-max-cert-list": 1,
  // Credentials.
  "-cert-file": 1,
  "-key-file": 1,
  "-signing-prefs": 1,
  "-must-match-issuer": 0,
  "-new-x509-credential": 0,
  "-new-psk-credential": 0,
  "-psk-importer-key": 1,
  "-psk-importer-identity": 1,
  "-psk-importer-context": 1,
  "-psk-importer-sha256": 0,
  "-psk-importer-sha384": 0,
  "-trust-cert": 1,
  "-use-early-callback": 0,
  "-use-old-client-cert-callback": 0,
  // Verification.
  "-verify-peer": 0,
  "-verify-fail": 0,
  "-require-any-client-certificate": 0,
  "-use-custom-verify-callback": 0,
  "-expect-verify-result": 0,
  "-expect-no-peer-cert": 0,
  "-expect-selected-credential": 1,
  "-reverify-on-resume": 0,
  // Sessions. In DTLS BoringSSL has no early data: it checks nothing but what its tickets say.
  "-no-ticket": 0,
  "-use-ticket-callback": 0,
  "-use-ticket-aead-callback": 0,
  "-skip-ticket": 0,
  "-renew-ticket": 0,
  "-enable-early-data": 0,
  "-expect-accept-early-data": 0,
  "-expect-reject-early-data": 0,
  "-expect-early-data-reason": 1,
  // What is done once connected.
  "-key-update": 0,
  "-key-update-before-read": 0,
  "-send-alert": 0,
  "-shim-writes-first": 0,
  "-shim-shuts-down": 0,
  "-export-keying-material": 1,
  "-export-label": 1,
  "-export-context": 1,
  "-use-export-context": 0,
  // What must have come of the handshake.
  "-expect-version": 1,
  "-expect-server-name": 1,
  "-no-server-name-ack": 0,
  "-expect-alpn": 1,
  "-expect-curve-id": 1,
  "-expect-cipher": 1,
  "-expect-session-miss": 0,
  "-expect-no-session": 0,
  "-expect-session-id": 0,
  "-expect-no-session-id": 0,
  "-expect-ticket-renewal": 0,
  "-expect-ticket-supports-early-data": 0,
  "-expect-hrr": 0,
  "-expect-no-hrr": 0,
  "-handshake-never-done": 0,
};

/** Flags that begin a credential, to which those of {@linkcode CREDENTIAL_FLAGS} after it belong. */
const NEW_CREDENTIAL_FLAGS: readonly string[] = ["-new-x509-credential", "-new-psk-credential"];

/** Flags of one credential: of the last one that was begun, or of the default one. */
const CREDENTIAL_FLAGS: readonly string[] = [
  "-cert-file",
  "-key-file",
  "-signing-prefs",
  "-must-match-issuer",
  "-psk-importer-key",
  "-psk-importer-identity",
  "-psk-importer-context",
  "-psk-importer-sha256",
  "-psk-importer-sha384",
];

/** A flag that the shim does not understand. */
export class UnknownFlagError extends Error {
  /** The type's name. */
  override readonly name = "UnknownFlagError";
}

/** Flags with their arguments, in the order they were given. */
class FlagSet {
  readonly #values = new Map<string, string[]>();

  /** Adds a flag, and its argument where it has one. */
  add(flag: string, value?: string): void {
    const values = this.#values.get(flag) ?? [];
    if (value !== undefined) values.push(value);
    this.#values.set(flag, values);
  }

  /** Whether a flag was given. */
  has(flag: string): boolean {
    return this.#values.has(flag);
  }

  /** The last argument of a flag. */
  text(flag: string): string | undefined {
    return this.#values.get(flag)?.at(-1);
  }

  /** The last argument of a flag as a number. */
  number(flag: string): number | undefined {
    const text = this.text(flag);
    return text === undefined ? undefined : Number(text);
  }

  /** All arguments of a flag as numbers; `undefined` where it was not given. */
  numbers(flag: string): readonly number[] | undefined {
    return this.#values.get(flag)?.map(Number);
  }

  /** The last argument of a flag, decoded from base64. */
  bytes(flag: string): Uint8Array | undefined {
    const text = this.text(flag);
    return text === undefined ? undefined : Uint8Array.fromBase64(text);
  }
}

/** The flags of one credential. */
export type CredentialFlags = FlagSet;

/** The flags of one connection. */
export class ConnectionFlags extends FlagSet {
  /** The flags of the credential that is not begun by a flag of its own. */
  readonly defaultCredential: CredentialFlags = new FlagSet();
  /** The flags of the other credentials, each with the one that began it. */
  readonly credentials: CredentialFlags[] = [];

  override add(flag: string, value?: string): void {
    if (NEW_CREDENTIAL_FLAGS.includes(flag)) this.credentials.push(new FlagSet());
    const isOfCredential = NEW_CREDENTIAL_FLAGS.includes(flag) || CREDENTIAL_FLAGS.includes(flag);
    const target = this.credentials.at(-1) ?? this.defaultCredential;
    if (isOfCredential) target.add(flag, value);
    else super.add(flag, value);
  }
}

/** The flags of the first connection of a process, and of those that resume it. */
export interface ShimFlags {
  readonly initial: ConnectionFlags;
  readonly resume: ConnectionFlags;
}

/** Which connections a flag is for, by what stands before it. */
const PREFIX = /^-on-(initial|resume|retry|shim|handshaker)(?=-)/;

/** Reads the command line. Throws {@linkcode UnknownFlagError}. */
export function readFlags(args: readonly string[]): ShimFlags {
  const flags: ShimFlags = { initial: new ConnectionFlags(), resume: new ConnectionFlags() };
  for (let at = 0; at < args.length; at++) {
    const [prefix = "", which] = PREFIX.exec(args[at]!) ?? [];
    const flag = args[at]!.slice(prefix.length);
    const arity = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : undefined;
    if (arity === undefined) throw new UnknownFlagError(flag);
    const value = arity === 0 ? undefined : args[++at];
    // There is no handshaker, and no 0-RTT that could be tried again.
    if (which === "handshaker" || which === "retry") continue;
    if (which !== "resume") flags.initial.add(flag, value);
    if (which !== "initial") flags.resume.add(flag, value);
  }
  return flags;
}
