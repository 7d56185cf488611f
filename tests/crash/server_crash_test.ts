// A server is killed at random moments of a load of writes and started again on the same files: every write that was
// answered is there, none is there twice, what has a key is answered in the end, and change feeds have every change
// once and in order.

import { type Client, connect } from "../../src/client/mod.ts";
import { LIVE_PERMISSIONS, TemporaryFolder } from "../harness/live_server.ts";
import { testWith } from "../harness/permissions.ts";
import { Random } from "../harness/random.ts";
import { ServerProcess } from "../harness/server_process.ts";
import { clientAccess, DIALECTS } from "./access.ts";
import { roundCount, survive } from "./load.ts";
import { ownerOptions } from "./server.ts";

/** One life of the server, and a client of it. */
interface Life {
  readonly server: ServerProcess;
  readonly client: Client;
  /** Aborted when the server is killed: nobody waits until its silence is noticed. */
  readonly end: AbortController;
}

/** Starts a server again and again. */
class Lives implements AsyncDisposable {
  readonly #folder: string;
  readonly #closing: Promise<void>[] = [];
  #life = Promise.withResolvers<Life>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The present life, or the next one. */
  get current(): Promise<Life> {
    return this.#life.promise;
  }

  async begin(): Promise<void> {
    const folder = this.#folder;
    const server = await ServerProcess.start(
      ["--certs", `${folder}/certs`, "--database", `${folder}/w.sqlite`],
      { cwd: folder },
    );
    this.#life.resolve({
      server,
      client: await connect(server.url, ownerOptions(folder)),
      end: new AbortController(),
    });
  }

  async kill(): Promise<void> {
    const { server, client, end } = await this.current;
    this.#life = Promise.withResolvers<Life>();
    server.signal("SIGKILL");
    await server.ended();
    end.abort();
    this.#closing.push(client.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { server, client } = await this.current;
    await client.close();
    await server[Symbol.asyncDispose]();
    await Promise.all(this.#closing);
  }
}

testWith(
  { permissions: LIVE_PERMISSIONS },
  "a server is killed again and again, and no write is lost or done twice",
  async () => {
    await using folder = new TemporaryFolder();
    await using lives = new Lives(folder.path);
    await lives.begin();
    await survive({
      ...{ random: new Random(2), rounds: roundCount(3, 100), pauseMsMax: 300 },
      async ready() {
        const { client, end } = await lives.current;
        return clientAccess(client, DIALECTS.sqlite, end.signal);
      },
      async kill() {
        await lives.kill();
        await lives.begin();
        return "the server";
      },
    });
  },
);
