export interface Bilingual {
  fr: string;
  en: string;
}

export interface Product {
  sku: string;
  name: Bilingual;
  category: Bilingual;
  price: string;
  barcode: string | null;
  active: boolean;
}

export interface SheetLine {
  sku: string;
  name: Bilingual | null;
  on_hand?: number | null;
  counted_at?: string | null;
}

export interface ImportFault {
  row?: number;
  column?: string;
  pointer: string;
  code: string;
  detail: string;
}

export interface Imported {
  status: "valid" | "accepted" | "recorded";
  rows: number;
  events: number;
  ignored_columns: string[];
}
