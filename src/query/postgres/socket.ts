// Sockets to a PostgreSQL server: TCP, and TLS above it where the login says so.

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { SqpError } from "../../wire/errors.ts";
import type { Login } from "./login.ts";

/** Code that takes the place of a protocol version, and the answer that agrees. */
const SSL_REQUEST = 80_877_103;
const SSL_AGREED = "S".charCodeAt(0);
const CANCEL_REQUEST = 80_877_102;

/** A message of the time before the session: its length, and numbers of 32 bits. */
function numbersMessage(...numbers: readonly number[]): Uint8Array {
  const message = new Uint8Array(4 + 4 * numbers.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length);
  numbers.forEach((number, at) => view.setUint32(4 + 4 * at, number));
  return message;
}

/**
 * Connects to the login's server, which is where TLS ends and the session begins. Throws {@linkcode SqpError}
 * `database_io`, `bad_configuration` for files that cannot be read.
 */
export async function openSocket(login: Login, timeoutMs: number): Promise<Socket> {
  const { host, port, tls } = login;
  const socket = connectTcp({ host, port });
  let current = socket;
  const timer = setTimeout(() => current.destroy(new Error("it did not answer")), timeoutMs);
  try {
    await happened(socket, "connect");
    socket.setNoDelay(true);
    if (tls !== "disable") {
      socket.write(numbersMessage(SSL_REQUEST));
      const answer = await happened(socket, "data") as Uint8Array;
      // More than the one byte would be something that an attacker put before the encrypted session.
      if (answer.length !== 1 || answer[0] !== SSL_AGREED) throw new Error("it refuses TLS");
      current = connectTls({ socket, ...await tlsOptions(login) });
      await happened(current, "secureConnect");
    }
    return current;
  } catch (error) {
    current.destroy();
    socket.destroy();
    if (error instanceof SqpError) throw error;
    const message = `${host}:${port} cannot be reached: ${(error as Error).message}.`;
    throw new SqpError("database_io", { message, cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function tlsOptions({ host, tls, tlsFiles }: Login) {
  const [ca, cert, key] = await Promise.all(
    [tlsFiles.ca, tlsFiles.cert, tlsFiles.key].map((path) => path && readSettingsFile(path)),
  );
  return {
    host,
    // Server Name Indication is for names.
    ...(isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: tls === "verify-full",
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

/** Reads a file that a login names. Throws {@linkcode SqpError} `bad_configuration`. */
export async function readSettingsFile(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const message = `${path} cannot be read: ${(error as Error).message}`;
    throw new SqpError("bad_configuration", { message, cause: error });
  }
}

/** Waits for an event of a socket, and rejects where it fails or ends first. */
function happened(socket: Socket, event: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const onClose = () => reject(new Error("it closed the connection"));
  socket.once(event, resolve);
  socket.once("error", reject);
  socket.once("close", onClose);
  return promise.finally(() => {
    socket.off(event, resolve);
    socket.off("error", reject);
    socket.off("close", onClose);
  });
}

/** A statement's process, as the server named it when the connection was opened. */
export interface BackendKey {
  readonly processId: number;
  readonly secret: number;
}

/**
 * Asks the server to end what a connection is running, and resolves when it has been told. Throws as {@linkcode
 * openSocket} does.
 */
export async function requestCancel(
  login: Login,
  { processId, secret }: BackendKey,
  timeoutMs: number,
): Promise<void> {
  const socket = await openSocket(login, timeoutMs);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  socket.resume();
  socket.write(numbersMessage(CANCEL_REQUEST, processId, secret));
  // The server closes the connection when the request has been carried out.
  await closed;
  clearTimeout(timer);
}
