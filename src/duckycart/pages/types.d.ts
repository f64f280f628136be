// What the pages' scripts share and pass around. For readers and the type checker alone: no browser is sent this file.

import type { Problem } from "./page.js";

/** Of the elements that are more than an HTMLElement to a script, by id. */
interface Special {
  qr: HTMLImageElement;
  bill: HTMLImageElement;
  till: HTMLDialogElement;
}
// What the server answers, as far as a page reads it; /openapi.json says all of it.

export interface Money {
  currency: string;
  currency_digits: number;
}
export interface Product extends Money {
  description: string;
  description_ar: string;
  product_size: string;
  unit_price: number;
}
export interface Line {
  quantity: number;
  product: Product;
}
export interface Basket {
  items: Line[];
  item_count: number;
  total_price: number;
}
export interface Session {
  session_id: number;
  cart_id: number;
  is_active: boolean;
}
export interface Payment {
  payment_id: number;
  payment_url: string | null;
  status: "creating" | "open" | "paid" | "failed" | "cancelled" | "paid_extra";
}
/** An RFC 9457 problem; some have fields of their own. */
export interface Refusal {
  code?: string;
  detail?: string;
}
/** The newest that the server said of a session. */
export interface Known {
  session: Session;
  basket: Basket;
  payment: Payment | null;
}

/** How long ago that was, by two clocks. */
export type Mark = [steady: number, clock: number];
export type Work = (form: any) => unknown;
/** By language, by key. */
export type Texts = Record<string, Record<string, string>>;

// page.js

/** What a call may send beside its method and path. */
interface Question {
  access?: string | null;
  json?: object;
  form?: Record<string, string>;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface Page {
  /** The element with that id, which every page that asks has. */
  $<Id extends string>(id: Id): Id extends keyof Special ? Special[Id] : HTMLElement;
  /** What is shown now; `locale` says how numbers are written. */
  shown: { lang: string; locale: string; section: string | null; error: unknown };

  /** Adds what one page alone has to say. */
  learn(texts: Texts, problems: Texts): void;
  /** Speaks the language that was chosen before, or the browser's; `redraw` is called when another one is chosen. */
  startSpeaking(redraw: () => void): void;
  /** The text of that key; {0} stands for the first of `values`. */
  t(key: string, ...values: unknown[]): string;
  number(value: number | string): string;
  money(value: number, of: Money): string;

  /** What the server has against a call; null when it did not answer. */
  problem(error: unknown): Problem | null;
  /** Throws a Problem for every refusal, and what `fetch` throws when no answer comes. */
  call(method: string, path: string, question?: Question): Promise<Response>;
  /** As `call`; gives the answer's JSON. */
  ask(method: string, path: string, question?: Question): Promise<any>;
  /** Everything about a session. `paying` says whether there may be a payment to be read. */
  readSession(id: number, access: string, paying: (active: boolean) => unknown): Promise<Known>;

  /** By the kind of news: the key of the warning. */
  WEIGHT: Record<string, string>;
  mark(): Mark;
  /**
   * Seconds, at the most: a page cannot tell a machine that slept from a clock that was set. For what may be asked anew
   * at any time; what must not end early goes by performance.now alone.
   */
  since(mark: Mark): number;
  /**
   * What a stream of the server says, as it comes, null for a sign of life. Throws when it ends, when the connection
   * does, when it is silent for longer than a server ever is, and when `stop` is aborted.
   */
  listen(path: string, access: string | undefined, stop: AbortController): AsyncGenerator<any, void>;

  reason(error: unknown): string;
  /** null takes away the one that is shown. */
  showError(error: unknown): void;
  /** Does the work when the element is tapped (or another `event` comes), once at a time; a form's with its fields. */
  onTap(id: string, work: Work, failed: (error: unknown) => void, event?: string): void;
  /** Shows this section and no other. */
  show(section: string): void;
  el(name: string, ...content: (string | HTMLElement)[]): HTMLElement;
  list(lines: Line[]): HTMLElement[];
  /** Empty for an empty basket. */
  total(basket: Basket): string;
  /** Says whether there is something in it. */
  drawBasket(basket: Basket, lines: HTMLElement[]): boolean;
  /** Says whether it was paid. */
  drawOutcome(seen: Known): boolean;
}

// The page of phones

export interface Person {
  access: string;
  guest: boolean;
  name: string;
  /** the QR they joined with */
  qr: string;
}
/** What a tab remembers over a reload: who shops, where, and how far. */
export interface Kept extends Partial<Person> {
  session?: number;
  cart?: number;
  over?: boolean;
  left?: boolean;
  payment?: boolean;
  payKey?: string | null;
  /** somebody who is known but has not joined yet */
  pending?: Person | null;
}
export interface PhoneState {
  kept: Kept;
  seen: Known | null;
  /** the key of its text */
  warning: string | null;
  /** shopping that this person has already */
  resume: { session_id: number; cart_id?: number } | null;
  /** whether the session is followed at all */
  live: boolean;
  /** null unless a stream is open or being opened */
  stream: AbortController | null;
  streaming: boolean;
  /** ms until another stream is opened, and by performance.now the moment of that */
  streamPause: number;
  streamAfter: number;
  /** the next reading, and ms between two */
  timer: number | undefined;
  pause: number;
  reading: Promise<void> | null;
  /** whether somebody asked meanwhile */
  onceMore: boolean;
}

// The screen of a cart

export interface ScreenState {
  /** why the stream is not open; null while it is */
  lost: unknown;
  /** why there is no QR */
  refused: { error: unknown; at: Mark } | null;
  qr: { picture: string; made: Mark; seconds: number } | null;
  /** while somebody shops */
  session: { session_id: number; token: string } | null;
  seen: Known | null;
  /** a session that is over, for a while after it */
  goodbye: { seen: Known; at: number } | null;
  /** of the scale, until the basket changes: the key of its text */
  warning: string | null;
  declined: boolean;
  mayHavePayment: boolean;
  /** of the payment that is open */
  bill: { id: number; picture: string } | null;
  /** null unless a stream is open or being opened */
  stream: AbortController | null;
  /** whether a QR is being fetched */
  asking: boolean;
  /** ends the pause before the next attempt */
  wake: () => void;
}

declare global {
  /** Of vendored/swagger-ui. */
  interface Window {
    SwaggerUIBundle(options: { url: string; dom_id: string; deepLinking: boolean; validatorUrl: null }): void;
  }
}
