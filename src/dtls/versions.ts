// The versions of DTLS and their numbers on the wire.

import { codePointName } from "../base/code_points.ts";
import { ExtensionType, ProtocolVersion } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import { decodeExtension } from "./extensions.ts";
import type { ServerHello } from "./hello_messages.ts";
import type { DtlsVersion } from "./options.ts";

/** The number of each version. */
export const VERSION_NUMBERS: Readonly<Record<DtlsVersion, ProtocolVersion>> = {
  "1.3": ProtocolVersion.DTLS_1_3,
  "1.2": ProtocolVersion.DTLS_1_2,
};

/** The version that a ServerHello chooses of those that were offered. Throws `DtlsFault` for any other. */
export function selectedVersion(
  hello: ServerHello,
  offer: { readonly versions: readonly DtlsVersion[] },
): DtlsVersion {
  const number = decodeExtension(
    hello.extensions,
    ExtensionType.SUPPORTED_VERSIONS,
    (reader) => reader.u16(),
  );
  const isOffered = (version: DtlsVersion) => offer.versions.includes(version);
  if (number === undefined) {
    if (hello.legacyVersion === ProtocolVersion.DTLS_1_2 && isOffered("1.2")) return "1.2";
    throw new DtlsFault(
      "unsupported-version",
      `the server speaks ${codePointName(ProtocolVersion, hello.legacyVersion)}`,
    );
  }
  // RFC 8446 section 4.2.1: "If the "supported_versions" extension in the ServerHello contains a version not offered by
  // the client or contains a version prior to TLS 1.3, the client MUST abort the handshake with an "illegal_parameter"
  // alert."
  if (number !== VERSION_NUMBERS["1.3"] || !isOffered("1.3")) {
    throw new DtlsFault("illegal-parameter", "the server chose a version that was not offered");
  }
  return "1.3";
}
