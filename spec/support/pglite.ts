import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import type { SqlConnection, SqlShard } from '../../src/vocab/engines/sqlShard.ts';

/** int4[] and float4[] come in binary, as `pg` sends a buffer, too. */
const serializers = Object.fromEntries([1007, 1021].map((oid) => [oid, (value: string) => value]));

/** A PostgreSQL with pgvector inside of this process, as a shard. It has one connection. */
export interface LiteShard extends SqlShard {
  readonly db: PGlite;
  /** Called before each statement; what it throws is what the server answers. */
  before: (sql: string) => void;
  connections: number;
}

/** Shards, one per name; setting one up takes seconds, copying it does not. */
export async function liteShards(names: readonly string[]): Promise<LiteShard[]> {
  const first = await PGlite.create({ extensions: { vector } });
  const shards: LiteShard[] = [];
  for (const name of names)
    shards.push(shardOn(name, shards.length === 0 ? first : ((await first.clone()) as PGlite)));
  return shards;
}

function shardOn(name: string, db: PGlite): LiteShard {
  const shard: LiteShard = {
    name,
    db,
    before: () => {},
    connections: 0,
    async connect(): Promise<SqlConnection> {
      shard.connections++;
      return {
        query: async (sql, values = []) => {
          shard.before(sql);
          const { rows } = await db.query<unknown[]>(sql, [...values], { rowMode: 'array', serializers });
          return { rows };
        },
        // What a server does when a connection ends.
        close: async () => {
          await db.query('ROLLBACK');
        },
      };
    },
  };
  return shard;
}
