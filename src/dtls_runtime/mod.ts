/**
 * DTLS 1.3 (RFC 9147) for Deno, Node.js and Bun. {@linkcode listenDtls} and {@linkcode connectDtls} are for programs:
 *
 * ```ts
 * import { type ConnectedAssociation, connectDtls, listenDtls } from "@sqp/sqp/dtls";
 *
 * async function echo(association: ConnectedAssociation) {
 *   for await (const message of association) await association.send(message);
 * }
 *
 * async function serve(endpoint: AsyncIterable<ConnectedAssociation>) {
 *   for await (const association of endpoint) echo(association).catch(console.error);
 * }
 *
 * const cert = await Deno.readTextFile("server.pem");
 * const key = await Deno.readTextFile("server.key");
 * await using endpoint = await listenDtls({ credentials: [{ cert, key }], alpn: ["echo"] });
 * serve(endpoint);
 *
 * const ca = await Deno.readTextFile("ca.pem");
 * const { port } = endpoint.addr;
 * await using association = await connectDtls({ hostname: "localhost", port, ca, alpn: ["echo"] });
 * await association.send(new TextEncoder().encode("hello"));
 * for await (const message of association) {
 *   console.log(association.version, association.alpn, new TextDecoder().decode(message));
 *   break;
 * }
 * ```
 *
 * Beneath them everything is without sockets, timers or clocks: a {@linkcode DtlsAssociation} takes datagrams and the
 * time, and gives datagrams and events; a {@linkcode DtlsEndpoint} finds the association of each datagram of a
 * server.
 *
 * @module
 */

export * from "../dtls/mod.ts";
export { OPENSSL_LIBRARY_PATHS } from "./openssl_paths.ts";
export { openOpensslProvider } from "./openssl.ts";
export { systemProvider } from "./system_provider.ts";
export { connectDtls } from "./connect.ts";
export { listenDtls, type ListeningEndpoint, type ListeningEndpointCounters } from "./listen.ts";
export type {
  ConnectDtlsOptions,
  ListenDtlsOptions,
  ReplacedOption,
  SocketOptions,
} from "./options.ts";
export type { ConnectedAssociation } from "./association.ts";
export type { CertificateAndKey, PemOrDer, TrustOptions } from "./credentials.ts";
export { RUNTIME_LIMITS, type RuntimeLimits } from "./limits.ts";
export {
  AddressError,
  type DatagramSink,
  type DatagramSocket,
  type UdpAddress,
  type UdpRuntime,
} from "../net/socket.ts";
export { denoUdp } from "../net/udp.ts";
export { nodeUdp } from "../net/node_udp.ts";
