import { ArgumentError } from '../../core/errors.ts';
import { requireInteger } from '../../core/tensor.ts';

export interface CurriculumOptions {
  /** Words at the start, many. */
  readonly from: number;
  /** Words at the end. */
  readonly to: number;
  /** Steps from one to the other. */
  readonly steps: number;
  /** 1: geometric; more: faster at first. @defaultValue 1 */
  readonly gamma?: number;
  /** Shrink only while the running recall is at least this. Absent: no gate */
  readonly gate?: number;
}

/**
 * How many words a sub-vocabulary has while training goes on: k(t) = to (from / to)^((1 - t)^gamma), t = step / steps, never
 * growing. With a gate, t stands still while the recall is too low.
 */
export class Curriculum {
  readonly options: CurriculumOptions;
  #steps = 0;
  #recall: number | undefined;

  constructor(options: CurriculumOptions) {
    requireInteger('curriculum', 'to', options.to, 1, Number.MAX_SAFE_INTEGER);
    requireInteger('curriculum', 'from', options.from, options.to, Number.MAX_SAFE_INTEGER);
    requireInteger('curriculum', 'steps', options.steps, 1, Number.MAX_SAFE_INTEGER);
    const { gamma = 1, gate } = options;
    if (!(gamma > 0 && gamma < Infinity))
      throw new ArgumentError('curriculum', `gamma is ${gamma}; it must be a number above 0`);
    if (gate !== undefined && !(gate >= 0 && gate <= 1))
      throw new ArgumentError('curriculum', `gate is ${gate}; it must be a recall from 0 to 1`);
    this.options = options;
  }

  /** The words of the next step. */
  get k(): number {
    const { from, to, steps, gamma = 1 } = this.options;
    const t = Math.min(1, this.#steps / steps);
    return Math.max(Math.round(to * (from / to) ** ((1 - t) ** gamma)), to);
  }

  /** The recall of a step, averaged over about 20 steps. */
  get recall(): number | undefined {
    return this.#recall;
  }

  /** A step was made: move on, unless the gate is closed. */
  advance(recall: number): void {
    this.#recall = this.#recall === undefined ? recall : 0.95 * this.#recall + 0.05 * recall;
    const { gate } = this.options;
    if (gate === undefined || this.#recall >= gate) this.#steps++;
  }
}
