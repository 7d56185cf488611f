// Chooses providers: the fastest present for each primitive, or one by its name.

import { type KeyKind, readPrivateKey, readPublicKey } from "./der.ts";
import { nobleProvider } from "./noble.ts";
import { nodeProvider } from "./node.ts";
import type {
  Aead,
  AeadName,
  CryptoProvider,
  GroupName,
  Hash,
  HashName,
  KeyExchange,
  RecordNumberCipher,
  SignatureName,
  SigningKey,
} from "./provider.ts";

/** What a provider is chosen for. */
export type PrimitiveName =
  | "hash"
  | "hmac"
  | AeadName
  | `${AeadName} mask`
  | GroupName
  | `${KeyKind} sign`
  | `${KeyKind} verify`;

/** For each primitive, names of providers, the fastest first. A provider that is not named comes after all others. */
export type Preferences = Readonly<Record<PrimitiveName, readonly string[]>>;

/** As measured by tests/dtls/crypto/bench_crypto.ts. */
export const MEASURED_PREFERENCES: Preferences = {
  "hash": ["openssl", "node", "noble"],
  "hmac": ["openssl", "node", "noble"],
  "aes-128-gcm": ["openssl", "node", "noble"],
  "aes-256-gcm": ["openssl", "node", "noble"],
  "chacha20-poly1305": ["openssl", "node", "noble"],
  "aes-128-gcm mask": ["openssl", "noble", "node"],
  "aes-256-gcm mask": ["openssl", "noble", "node"],
  "chacha20-poly1305 mask": ["openssl", "noble", "node"],
  "x25519": ["openssl", "node", "noble"],
  "secp256r1": ["openssl", "node", "noble"],
  "secp384r1": ["openssl", "node", "noble"],
  "secp256r1 sign": ["openssl", "noble", "node"],
  "secp256r1 verify": ["openssl", "node", "noble"],
  "secp384r1 sign": ["noble", "openssl", "node"],
  "secp384r1 verify": ["openssl", "node", "noble"],
  "ed25519 sign": ["node", "noble"],
  "ed25519 verify": ["node", "noble"],
  "rsa sign": ["openssl", "node"],
  "rsa verify": ["openssl", "node"],
};

/** The kind of key that a scheme belongs to; `undefined` where it takes keys of several kinds. */
const KINDS: Readonly<Record<SignatureName, KeyKind | undefined>> = {
  ecdsa_secp256r1_sha256: "secp256r1",
  ecdsa_secp384r1_sha384: "secp384r1",
  ecdsa_sha256: undefined,
  ecdsa_sha384: undefined,
  ecdsa_sha512: undefined,
  ed25519: "ed25519",
  rsa_pss_rsae_sha256: "rsa",
  rsa_pss_rsae_sha384: "rsa",
  rsa_pss_rsae_sha512: "rsa",
  rsa_pkcs1_sha256: "rsa",
  rsa_pkcs1_sha384: "rsa",
  rsa_pkcs1_sha512: "rsa",
};

/** The kind of key in a SubjectPublicKeyInfo; any where it cannot be read, since it then verifies nothing. */
function kindOf(publicKey: Uint8Array): KeyKind {
  try {
    return readPublicKey(publicKey).kind;
  } catch {
    return "secp256r1";
  }
}

/** A provider that passes each primitive on to one of several. */
export interface ComposedProvider extends CryptoProvider {
  /** The name of the provider that each primitive comes from. */
  readonly uses: ReadonlyMap<PrimitiveName, string>;
}

function preferred(present: readonly CryptoProvider[], names: readonly string[]): CryptoProvider {
  for (const name of names) {
    const found = present.find((provider) => provider.name === name);
    if (found !== undefined) return found;
  }
  return present[0]!;
}

class Composition implements ComposedProvider {
  readonly name: string;
  readonly uses: ReadonlyMap<PrimitiveName, string>;
  readonly #chosen: ReadonlyMap<PrimitiveName, CryptoProvider>;
  // What every record and key derivation asks for is looked up once.
  readonly #hash: CryptoProvider;
  readonly hmac: CryptoProvider["hmac"];

  constructor(name: string, present: readonly CryptoProvider[], preferences: Preferences) {
    const chosen = new Map<PrimitiveName, CryptoProvider>();
    for (const [primitive, names] of Object.entries(preferences)) {
      chosen.set(primitive as PrimitiveName, preferred(present, names));
    }
    this.name = name;
    this.#chosen = chosen;
    this.uses = new Map([...chosen].map(([primitive, provider]) => [primitive, provider.name]));
    this.#hash = this.#for("hash");
    const hmac = this.#for("hmac");
    this.hmac = hmac.hmac.bind(hmac);
  }

  #for(primitive: PrimitiveName): CryptoProvider {
    return this.#chosen.get(primitive)!;
  }

  hash(name: HashName): Hash {
    return this.#hash.hash(name);
  }

  aead(name: AeadName, key: Uint8Array): Aead {
    return this.#for(name).aead(name, key);
  }

  recordNumberCipher(name: AeadName, key: Uint8Array): RecordNumberCipher {
    return this.#for(`${name} mask`).recordNumberCipher(name, key);
  }

  keyExchange(group: GroupName, randomness: Uint8Array): KeyExchange {
    return this.#for(group).keyExchange(group, randomness);
  }

  signingKey(pkcs8: Uint8Array): SigningKey {
    let kind: KeyKind = "rsa";
    try {
      kind = readPrivateKey(pkcs8).kind;
    } catch {
      // The provider that is asked instead reads the key again, and names what is wrong with it.
    }
    return this.#for(`${kind} sign`).signingKey(pkcs8);
  }

  verify(
    scheme: SignatureName,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    const provider = this.#for(`${KINDS[scheme] ?? kindOf(publicKey)} verify`);
    return provider.verify(scheme, publicKey, message, signature);
  }
}

/**
 * A provider named `name` that takes each primitive from the one of `present` that comes first in the preferences.
 * Throws `RangeError` where none is present.
 */
export function composeProviders(
  name: string,
  present: readonly CryptoProvider[],
  preferences: Preferences = MEASURED_PREFERENCES,
): ComposedProvider {
  if (present.length === 0) throw new RangeError("no crypto provider is present");
  return new Composition(name, present, preferences);
}

/** The providers that need no permission. */
const BUILT_IN: readonly CryptoProvider[] = [nodeProvider, nobleProvider];

/** The fastest for each primitive of the built-in providers, and of `others` where the preferences name them. */
export function fastestProvider(...others: readonly CryptoProvider[]): ComposedProvider {
  return composeProviders("fastest", [...BUILT_IN, ...others]);
}

/** Names that {@linkcode providerByName} knows. */
export const PROVIDER_NAMES = ["fastest", "node", "noble", "openssl"] as const;

/** One of the names of {@linkcode PROVIDER_NAMES}. */
export type ProviderName = typeof PROVIDER_NAMES[number];

/** A provider that was asked for by its name is not present. */
export class ProviderAbsentError extends Error {
  /** The name of this class. */
  override readonly name = "ProviderAbsentError";

  /** Says which it is. */
  constructor(provider: ProviderName) {
    super(`the crypto provider ${provider} is not present, or this program may not use it`);
  }
}

/**
 * The provider of a name, of the built-in ones and `others`: `fastest` for {@linkcode fastestProvider}, else that one
 * for every primitive. Throws {@linkcode ProviderAbsentError}.
 */
export function providerByName(
  name: ProviderName,
  ...others: readonly CryptoProvider[]
): CryptoProvider {
  if (name === "fastest") return fastestProvider(...others);
  const found = [...BUILT_IN, ...others].find((provider) => provider.name === name);
  if (found === undefined) throw new ProviderAbsentError(name);
  return found;
}

/**
 * What a provider is made of, for people: a line for each provider that it uses, with what it is used for; for one
 * that is not composed its name.
 */
export function describeProvider(provider: CryptoProvider): string {
  if (!("uses" in provider)) return `${provider.name}: everything`;
  const primitives = new Map<string, PrimitiveName[]>();
  for (const [primitive, name] of (provider as ComposedProvider).uses) {
    primitives.set(name, [...primitives.get(name) ?? [], primitive]);
  }
  return [...primitives].map(([name, list]) => `${name}: ${list.join(", ")}`).join("\n");
}
