import { ArgumentError } from '../core/errors.ts';
import { type Key, key } from '../core/key.ts';
import type { Contract, OptionField } from '../core/ops/contract.ts';
import { nearest, suggest } from './nearest.ts';

/**
 * Options as JSON text, checked against the contract of an operator.
 * @throws ArgumentError naming the option, what it was given and what it takes
 */
export function readOptions(command: string, contract: Contract, text: string): Record<string, unknown> {
  const refuse = (message: string): ArgumentError => new ArgumentError(command, message);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const hint = `write them as --options '{"axis": 1}'`;
    throw refuse(`the options are not JSON (${(error as Error).message}); ${hint}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw refuse(`the options are ${show(json)}; they must be one object, such as {"axis": 1}`);
  }
  const twice = repeatedName(text);
  if (twice !== undefined) throw refuse(`the options hold "${twice}" twice`);
  const given = new Map(Object.entries(json));
  const names = contract.options.map((o) => o.name);
  for (const name of given.keys()) {
    if (names.includes(name)) continue;
    if (contract.inputs.some((i) => i.name === name)) {
      throw refuse(`${contract.name}: "${name}" is a tensor, not an option; give it with --in ${name}=FILE`);
    }
    const takes = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
    throw refuse(
      `${contract.name} has no option ${JSON.stringify(name)}${suggest(name, names) || `; ${takes}`}`,
    );
  }
  const options: Record<string, unknown> = {};
  for (const field of contract.options) {
    if (given.has(field.name))
      options[field.name] = readOption(contract.name, field, given.get(field.name), refuse);
    else if (contract.params.includes(field.name)) {
      throw refuse(`${contract.name} needs the option "${field.name}": ${field.about}`);
    }
  }
  return options;
}

/** The first name that an object in valid JSON text gives twice: `JSON.parse` would silently keep the last. */
function repeatedName(text: string): string | undefined {
  const names = new Set<string>();
  let depth = 0;
  for (const [token, , colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[[\]{}]/g)) {
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    if (depth !== 1 || colon === undefined) continue;
    const name = JSON.parse(token.slice(0, -colon.length)) as string;
    if (names.has(name)) return name;
    names.add(name);
  }
  return undefined;
}

function readOption(
  op: string,
  field: OptionField,
  value: unknown,
  refuse: (message: string) => ArgumentError,
): unknown {
  const wrong = (takes: string): ArgumentError =>
    refuse(`${op}: option "${field.name}" is ${show(value)}; it takes ${takes}`);
  switch (field.type) {
    case 'integer':
      if (!Number.isSafeInteger(value)) throw wrong('an integer');
      return value;
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong('a finite number');
      return value;
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong('true or false');
      return value;
    case 'string': {
      const { choices } = field;
      if (typeof value !== 'string') throw wrong(choices ? `one of ${choices.join(', ')}` : 'a text');
      if (choices && !choices.includes(value)) {
        const near = nearest(value, choices);
        throw wrong(`one of ${choices.join(', ')}${near === undefined ? '' : `; did you mean "${near}"?`}`);
      }
      return value;
    }
    case 'shape':
      if (!Array.isArray(value) || !value.every((size) => Number.isSafeInteger(size) && size >= 0)) {
        throw wrong('a list of sizes >= 0, such as [2, 3]');
      }
      return value;
    case 'key':
      return readKey(value, wrong);
  }
}

/** The two words of a key, or the seed that makes one. */
function readKey(value: unknown, wrong: (takes: string) => ArgumentError): Key {
  if (Number.isSafeInteger(value)) return key(value as number);
  const word = (v: unknown): boolean => Number.isInteger(v) && (v as number) >= 0 && (v as number) < 2 ** 32;
  const [high, low, more] = Array.isArray(value) ? value : [];
  if (!word(high) || !word(low) || more !== undefined) {
    throw wrong('a seed, such as 42, or the two words of a key, such as [0, 42], each below 2^32');
  }
  return [high, low];
}

/** A value from a user as short JSON. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
