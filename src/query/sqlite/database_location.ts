// Where a database is: a file, or a private temporary one.

import { dirname, join, resolve } from "node:path";
import { SqpError } from "../../wire/errors.ts";

/** The file of a database and what to do with it at the end. */
export interface DatabaseLocation {
  readonly path: string;
  /** The folder of a temporary database. */
  readonly removeAtExit?: string;
  /** Removes a temporary database. */
  remove(): Promise<void>;
}

/**
 * Finds the file of a database. Throws {@linkcode SqpError} `database_io` where its folder does not exist or it is a
 * folder itself, and
 * `bad_configuration` for a path that cannot be passed on.
 */
export async function locateDatabase(
  database: string,
  temporaryFolder?: string,
): Promise<DatabaseLocation> {
  if (database === ":memory:") return await temporaryDatabase(temporaryFolder);
  const path = await realPath(resolve(database));
  checkComma(path);
  return { path, remove: () => Promise.resolve() };
}

async function temporaryDatabase(dir: string | undefined): Promise<DatabaseLocation> {
  let folder: string;
  try {
    folder = await Deno.makeTempDir({ prefix: "sqp-", ...(dir !== undefined && { dir }) });
    folder = await Deno.realPath(folder);
  } catch (error) {
    throw notUsable(":memory:", `has no folder to be in: ${(error as Error).message}`);
  }
  checkComma(folder);
  return {
    path: join(folder, "memory.db"),
    removeAtExit: folder,
    async remove() {
      // The writing process removes it as well, for the case that the server is killed.
      await Deno.remove(folder, { recursive: true }).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    },
  };
}

/** Deno separates the paths of a permission with commas and has no way to write one in a path. */
function checkComma(path: string): void {
  if (!path.includes(",")) return;
  throw new SqpError("bad_configuration", { message: `The path ${path} must not hold a comma.` });
}

/** SQLite does not follow symbolic links under Deno's permissions, so the path is made real first. */
async function realPath(path: string): Promise<string> {
  try {
    const info = await Deno.stat(path);
    if (info.isDirectory) throw notUsable(path, "is a folder");
    return await Deno.realPath(path);
  } catch (error) {
    if (error instanceof SqpError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) throw notUsable(path, (error as Error).message);
  }
  try {
    return join(await Deno.realPath(dirname(path)), path.slice(dirname(path).length + 1));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw notUsable(path, (error as Error).message);
    throw notUsable(path, "cannot be made: its folder does not exist");
  }
}

function notUsable(path: string, why: string): SqpError {
  return new SqpError("database_io", { message: `The database ${path} ${why}.` });
}
