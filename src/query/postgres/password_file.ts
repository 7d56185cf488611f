// Passwords in a file of PostgreSQL's own format, as libpq reads it: host:port:database:user:password on a line.

import type { Login } from "./login.ts";

/** The password of a login: that of the first line which matches it, `undefined` where none does. */
export function findPassword(
  text: string,
  { host, port, database, user }: Pick<Login, "host" | "port" | "database" | "user">,
): string | undefined {
  const wanted = [host, String(port), database, user];
  for (const line of text.split(/\r?\n/)) {
    if (line === "" || line.startsWith("#")) continue;
    const fields = splitFields(line);
    const isMatch = wanted.every((value, at) =>
      fields[at] === "*" || unescaped(fields[at]) === value
    );
    if (isMatch && fields.length === 5) return unescaped(fields[4]);
  }
  return undefined;
}

/** A backslash before a colon or a backslash takes its meaning away. The password is whatever follows the fourth. */
function splitFields(line: string): string[] {
  const fields = /^((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):((?:[^:\\]|\\.)*):(.*)$/
    .exec(line);
  return fields === null ? [] : fields.slice(1);
}

function unescaped(field: string | undefined): string | undefined {
  return field?.replaceAll(/\\(.)/g, "$1");
}
