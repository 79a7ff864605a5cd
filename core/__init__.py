"""The ground floor: time, chance, numbers, words for the log. It knows no exchange and no order."""
