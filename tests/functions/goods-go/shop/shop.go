// Package shop knows the goods.
package shop

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
)

// Goods are things with their prices.
type Goods map[string]int

// Summary is what callers are told.
type Summary struct {
	Goods []string `json:"goods"`
	Total int      `json:"total"`
}

// Load reads the goods from a data file.
func Load(path string) (Goods, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the goods are out of reach: %w", err)
	}
	var goods Goods
	return goods, json.Unmarshal(text, &goods)
}

// Summary lists the goods and adds their prices up.
func (g Goods) Summary() Summary {
	var summary Summary
	for name, price := range g {
		summary.Goods = append(summary.Goods, name)
		summary.Total += price
	}
	sort.Strings(summary.Goods)
	return summary
}
