"""The words of Coread: frozen records, enums, codes, the state tables, errors. No input or output here."""
