import { setTimeout as wait } from 'node:timers/promises';
import { ArgumentError, EngineError, OpError } from '../../core/errors.ts';
import { optionalPackage } from './optionalPackage.ts';

const who = 'postgres';

/** A connection to a PostgreSQL server with pgvector. */
export interface SqlConnection {
  /** Run one statement; a buffer among the values is sent in binary, as it is. Rows are arrays of columns; integers and floats are numbers, all else is text. */
  query(
    sql: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: readonly (readonly unknown[])[] }>;
  close(): Promise<void>;
}

/** A server that holds a part of the words. */
export interface SqlShard {
  /** What messages call it; without user and password. */
  readonly name: string;
  connect(): Promise<SqlConnection>;
}

/** How long is waited for a server. */
export interface SqlLimits {
  /** Milliseconds for a connection. Default 10,000. */
  readonly connectTimeout?: number;
  /** Milliseconds for a statement. Default 600,000: an index takes its time. */
  readonly statementTimeout?: number;
}

/** What of the package `pg` is used. */
interface Pg {
  readonly default: {
    readonly Client: new (
      config: object,
    ) => {
      connect(): Promise<unknown>;
      query(query: object): Promise<{ rows: unknown[][] }>;
      end(): Promise<void>;
      on(event: 'error', listener: () => void): void;
    };
  };
}

/**
 * Shards by their addresses, `postgres://user:password@host:5432/database`. No message repeats a password.
 * @throws ArgumentError; UnsupportedError without the package `pg`
 */
export async function pgShards(urls: readonly string[], limits: SqlLimits = {}): Promise<SqlShard[]> {
  const parsed = urls.map((url, i) => ({ url, ...parseUrl(url, i) }));
  const pg = await optionalPackage<Pg>(who, 'pg', 'PostgreSQL');
  return parsed.map(({ url, name, hide }) => ({
    name,
    async connect() {
      const told = (error: unknown): never => {
        const { message, code } = error as NodeJS.ErrnoException;
        // Node gives no message where a name has several addresses.
        const text = message || String(code);
        throw Object.assign(new Error(hide(text)), { code });
      };
      const client = new pg.default.Client({
        connectionString: url,
        connectionTimeoutMillis: limits.connectTimeout ?? 10_000,
        query_timeout: limits.statementTimeout ?? 600_000,
        application_name: 'subvocab',
      });
      // A server that goes away while nothing is asked: the next statement tells.
      client.on('error', () => {});
      await client.connect().catch(told);
      return {
        query: (text, values = []) =>
          client.query({ text, values: [...values], rowMode: 'array' }).catch(told),
        close: () => client.end().catch(() => {}),
      };
    },
  }));
}

function parseUrl(text: string, i: number): { name: string; hide: (message: string) => string } {
  // The text is not told: it may hold a password.
  const refused = new ArgumentError(
    who,
    `address ${i + 1} is not of the form postgres://user:password@host:port/database`,
  );
  if (!URL.canParse(text)) throw refused;
  const { protocol, hostname, port, pathname, password } = new URL(text);
  if (!/^postgres(ql)?:$/.test(protocol)) throw refused;
  let plain = password;
  try {
    plain = decodeURIComponent(password);
  } catch {
    throw refused;
  }
  const secrets = [password, plain].filter((secret) => secret !== '');
  return {
    name: `${hostname || 'localhost'}:${port || 5432}${pathname}`,
    hide: (message) => secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), message),
  };
}

/** Waits before the attempts after the first, in milliseconds. */
const waits = [100, 400, 1500];

/** The connection to one shard: one transaction at a time, repeated on a fresh connection when the old one broke. */
export class ShardConnection {
  readonly name: string;
  private readonly shard: SqlShard;
  private connection: SqlConnection | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(shard: SqlShard) {
    this.shard = shard;
    this.name = shard.name;
  }

  /** Run `work` in a transaction that reads. @throws EngineError that names the shard */
  read<R>(work: (connection: SqlConnection) => Promise<R>): Promise<R> {
    const run = this.last.then(() => this.attempts(work));
    this.last = run.catch(() => {});
    return run;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.last;
    await this.connection?.close();
    this.connection = undefined;
  }

  private async attempts<R>(work: (connection: SqlConnection) => Promise<R>): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      if (this.closed) throw new EngineError(who, `shard ${this.name}: the index is closed`);
      try {
        this.connection ??= await this.shard.connect();
        await this.connection.query('BEGIN TRANSACTION READ ONLY');
        const result = await work(this.connection);
        await this.connection.query('COMMIT');
        return result;
      } catch (error) {
        // Whatever state it is in: the next transaction begins on a new one.
        await this.connection?.close().catch(() => {});
        this.connection = undefined;
        if (error instanceof OpError) throw error;
        if (attempt === waits.length || !isPassing(error))
          throw shardError(this.name, error, attempt === 0 ? '' : ` (${attempt + 1} attempts)`);
        await wait(waits[attempt]!);
      }
    }
  }
}

/** An error of a shard, in one line. */
export function shardError(name: string, error: unknown, more = ''): EngineError {
  const text = (error as Error).message.split('\n', 1)[0];
  return new EngineError(who, `shard ${name}: ${text}${more}`, { cause: error });
}

/** Whether another attempt may succeed: the server is away, starting, full, or ended the transaction for another. */
function isPassing(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return (
    /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|08...|57P0[123]|40001|40P01|53300)$/.test(code ?? '') ||
    /Connection terminated|connection.*closed/i.test(message)
  );
}
