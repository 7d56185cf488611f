// The crypto provider of this program: of the built-in ones and, where it may be opened, the system's libcrypto.

import { providerByName, type ProviderName } from "../dtls/crypto/composed.ts";
import type { CryptoProvider } from "../dtls/crypto/provider.ts";
import { openOpensslProvider } from "./openssl.ts";

/**
 * The provider of a name: `fastest`, the default, takes each primitive from the fastest that is present, libcrypto
 * where {@linkcode openOpensslProvider} finds it. Never asks for a permission. Throws `ProviderAbsentError` where
 * `openssl` is asked for and is not there.
 */
export function systemProvider(name: ProviderName = "fastest"): CryptoProvider {
  const openssl = openOpensslProvider();
  return providerByName(name, ...(openssl === undefined ? [] : [openssl]));
}
