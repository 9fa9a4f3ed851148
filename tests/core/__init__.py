"""The domain, without a broker: units, tables of cases, and properties of whole histories."""
