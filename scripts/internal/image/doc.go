// Package image holds the checks of the container's files; they are tests.
package image
