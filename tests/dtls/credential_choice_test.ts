// Which of several credentials each end presents: by scheme, by the authorities that the peer names, by server name.

import { assertEquals } from "@std/assert";
import { type Credential, NamedGroup, SignatureScheme } from "../../src/dtls/mod.ts";
import { parseCertificate } from "../../src/dtls/x509/mod.ts";
import {
  CA_CREDENTIAL,
  CLIENT_CREDENTIAL,
  credential,
  OTHER_CA_CREDENTIAL,
  OTHER_CLIENT_CREDENTIAL,
  P256_CLIENT_CREDENTIAL,
  P256_SERVER_CREDENTIAL,
  SERVER_CREDENTIAL,
  type TestCredential,
  trusting,
} from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";

const nameOf = ({ certificate }: TestCredential) => parseCertificate(certificate).subject.encoding;
const CA = nameOf(CA_CREDENTIAL);
const OTHER_CA = nameOf(OTHER_CA_CREDENTIAL);

const gated = (one: TestCredential): Credential => ({
  ...credential(one),
  isIssuerRequired: true,
});

/** The leaf that each end shows, or how it ended. */
function shown(options: PairOptions): { server: unknown; client: unknown } {
  const pair = new DtlsPair({
    ...options,
    server: {
      clientCertificate: "optional",
      verifyPeer: trusting(CA_CREDENTIAL, OTHER_CA_CREDENTIAL),
      ...options.server,
    },
  }).handshake();
  const failed = pair.clientEvents.find((event) => event.kind === "failed");
  return {
    server: failed === undefined ? pair.client.peerChain[0] : failed.error.message,
    client: pair.server.association?.peerChain[0],
  };
}

const SERVERS = [credential(P256_SERVER_CREDENTIAL), credential(SERVER_CREDENTIAL)];

Deno.test("a server uses its first credential whose scheme the client verifies", () => {
  const { server } = shown({ server: { credentials: SERVERS } });
  assertEquals(server, P256_SERVER_CREDENTIAL.certificate);
  const signatureSchemes = [SignatureScheme.ED25519];
  const other = shown({ client: { signatureSchemes }, server: { credentials: SERVERS } });
  assertEquals(other.server, SERVER_CREDENTIAL.certificate);
});

Deno.test("a credential may be for peers alone that name its issuer", () => {
  const credentials = [gated(OTHER_CLIENT_CREDENTIAL), gated(CLIENT_CREDENTIAL)];
  const named = (certificateAuthorities: Uint8Array[]) =>
    shown({ client: { credentials }, server: { certificateAuthorities } }).client;
  assertEquals(named([CA]), CLIENT_CREDENTIAL.certificate);
  assertEquals(named([CA, OTHER_CA]), OTHER_CLIENT_CREDENTIAL.certificate);
  assertEquals(named([]), undefined);
  const server = (certificateAuthorities: Uint8Array[]) =>
    shown({
      client: { certificateAuthorities },
      server: { credentials: [gated(P256_SERVER_CREDENTIAL), credential(SERVER_CREDENTIAL)] },
    }).server;
  assertEquals(server([CA]), P256_SERVER_CREDENTIAL.certificate);
  assertEquals(server([OTHER_CA]), SERVER_CREDENTIAL.certificate);
});

Deno.test("names of authorities are a hint: other credentials are presented all the same", () => {
  const credentials = [credential(CLIENT_CREDENTIAL)];
  const certificateAuthorities = [OTHER_CA];
  const { client } = shown({ client: { credentials }, server: { certificateAuthorities } });
  assertEquals(client, CLIENT_CREDENTIAL.certificate);
});

Deno.test("a credential signs with the schemes that it is said to", () => {
  const credentials = [
    { ...credential(P256_CLIENT_CREDENTIAL), schemes: ["ed25519"] as const },
    credential(CLIENT_CREDENTIAL),
  ];
  assertEquals(shown({ client: { credentials } }).client, CLIENT_CREDENTIAL.certificate);
});

Deno.test("a server may have credentials for each name, and refuse a name", () => {
  const selected = (serverName: string) =>
    shown({
      client: { serverName, groups: [NamedGroup.X25519] },
      server: {
        credentials: (name) => name === "a" ? [SERVERS[0]!] : name === "b" ? [SERVERS[1]!] : [],
      },
    }).server;
  assertEquals(selected("a"), P256_SERVER_CREDENTIAL.certificate);
  assertEquals(selected("b"), SERVER_CREDENTIAL.certificate);
  assertEquals(selected("c"), "the peer sent the alert unrecognized_name");
});
