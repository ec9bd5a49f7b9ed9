import { samOutConfig } from '../../src/models/samOut/config.ts';
import { parameterCount } from '../../src/models/samOut/parameters.ts';

/** What the seed's text says. */
export const claimed = {
  parameters: 2_763_532,
  fewerPercent: 42,
  mergedPercent: 30,
  faster: 3,
  losses: [8.4532, 4.5126, 3.8741, 3.2218],
} as const;

/** Everything about the claims that follows from the shapes alone. */
export interface Arithmetic {
  readonly tensors: number;
  readonly scalars: number;
  readonly tied: number;
  readonly block: number;
  /** A standard block: attention with 4 projections, a feed-forward layer of 4 d, biases, two layer normalisations. */
  readonly standardBlock: number;
  /** The same with a feed-forward layer of d. */
  readonly smallBlock: number;
  /** Percent fewer parameters than a model of standard blocks. */
  readonly fewer: number;
  readonly fewerTied: number;
  readonly fewerThanSmall: number;
  readonly merged: number;
  readonly separate: number;
  readonly fourProjections: number;
  /** The least mean loss in nats on tokens that are drawn uniformly from all ids but the ignored one. */
  readonly floor: number;
}

/** The numbers for the seed's sizes. */
export function arithmetic(): Arithmetic {
  const config = samOutConfig();
  const { vocabulary, width: d, layers } = config;
  const { tensors, scalars } = parameterCount(config);
  const { tensors: tied } = parameterCount({ ...config, tied: true });
  const block = (tensors - 2 * vocabulary * d) / layers;
  const standardBlock = 12 * d * d + 13 * d;
  const smallBlock = 6 * d * d + 10 * d;
  const model = (perBlock: number, tables: number): number => tables * vocabulary * d + layers * perBlock;
  const fewer = (ours: number, theirs: number): number => 100 * (1 - ours / theirs);
  return {
    tensors,
    scalars,
    tied,
    block,
    standardBlock,
    smallBlock,
    fewer: fewer(tensors, model(standardBlock, 2)),
    fewerTied: fewer(tied, model(standardBlock, 1)),
    fewerThanSmall: fewer(block, smallBlock),
    merged: 3 * d * d,
    separate: d * d + d * d + d * d,
    fourProjections: 4 * d * d,
    floor: Math.log(vocabulary - 1),
  };
}

export const whole = (n: number): string => n.toLocaleString('en-US');

/** What follows from the code, one text per claim. The page holds these as they are; the spec compares. */
export function consequences(a: Arithmetic = arithmetic()): Readonly<Record<ClaimName, string>> {
  const times = ((a.tensors + a.scalars) / claimed.parameters).toFixed(1);
  return {
    parameters: `The code has ${whole(a.tensors)} numbers in tensors and ${whole(a.scalars)} scalars, ${times} times the claim; with a tied head it would have ${whole(a.tied)}. The embedding alone has 8,460 x 512 = ${whole(8460 * 512)}, more than the whole claim.`,
    fewer: `A SamOut block has ${whole(a.block)} numbers, a standard block (4 projections, a feed-forward layer of 4 d, biases, 2 layer normalisations) ${whole(a.standardBlock)}. Whole models differ by ${a.fewer.toFixed(2)} %; if both tied their tables it would be ${a.fewerTied.toFixed(2)} %, the likely origin of the claim. Against a standard block whose feed-forward layer has width d, as SamOut's has, a block has ${a.fewerThanSmall.toFixed(2)} % fewer.`,
    merged: `One projection of [3d, d] has ${whole(a.merged)} numbers, three of [d, d] have ${whole(a.separate)}: merging saves none. Standard attention has a fourth projection for its output, ${whole(a.fourProjections)} in all, of which SamOut's three are ${(100 * (1 - a.merged / a.fourProjections)).toFixed(0)} % fewer, because it has no output projection.`,
    constant: `A step that carries the running maximum costs the same at any position, and keeps layers x d floats per sequence; a sequence of T costs T steps. The seed passes a state through its layers but never reads or writes it, so its own code has no such step.`,
    faster: `Per position a SamOut block does 12 d^2 operations of matrix products, a standard block 24 d^2 (a feed-forward layer of 4 d) and 4 T d more for attention over T positions: half as many at T = 0, a third of them from T = 3 d on.`,
    losses: `The shown loop trains on torch.randint tokens, independent and uniform. No model can predict them: the least mean loss on fresh ones is ln 8459 = ${a.floor.toFixed(4)}. The losses of the text begin below that and end at 3.22.`,
    sharing: `\`bias=False\` in the head shares nothing: em.weight and head.weight are two parameters of 8,460 x 512. Here \`tied: true\` makes them one.`,
  };
}

export type ClaimName = 'parameters' | 'fewer' | 'merged' | 'constant' | 'faster' | 'losses' | 'sharing';
