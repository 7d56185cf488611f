// What the commands use of the server.

export { DEFAULT_PORT } from "../wire/protocol.ts";
export { PROVIDER_NAMES, ProviderAbsentError, type ProviderName } from "../dtls/crypto/composed.ts";
export { AddressError } from "../net/socket.ts";
export { withoutPassword } from "../query/mod.ts";
export { type AuthenticationPolicy } from "./authenticator.ts";
export { createLogger, type LogFormat } from "./log.ts";
export { Server } from "./server.ts";
export { DEFAULT_DATABASE, parseListenAddress, type ServerSettings, startServer } from "./start.ts";
