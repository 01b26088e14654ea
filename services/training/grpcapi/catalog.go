package grpcapi

import (
	"context"
	"fmt"

	"go.einride.tech/aip/resourcename"
	"google.golang.org/protobuf/types/known/structpb"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/internal/launch"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// Catalog serves CatalogService. The recipes are the same for every project.
type Catalog struct {
	trainingv1.UnimplementedCatalogServiceServer
	Launcher *launch.Launcher
}

// ListRecipes implements CatalogService.
func (s *Catalog) ListRecipes(_ context.Context, req *trainingv1.ListRecipesRequest) (*trainingv1.ListRecipesResponse, error) {
	recipes, next, err := slicePage(s.Launcher.Recipes, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &trainingv1.ListRecipesResponse{NextPageToken: next}
	for _, r := range recipes {
		shown, err := s.recipe(r)
		if err != nil {
			return nil, err
		}
		res.Recipes = append(res.Recipes, shown)
	}
	return res, nil
}

// GetRecipe implements CatalogService.
func (s *Catalog) GetRecipe(_ context.Context, req *trainingv1.GetRecipeRequest) (*trainingv1.GetRecipeResponse, error) {
	var id string
	if resourcename.Sscan(req.GetName(), "recipes/{recipe}", &id) == nil {
		if r := s.Launcher.Recipes.Find(id); r != nil {
			shown, err := s.recipe(r)
			return &trainingv1.GetRecipeResponse{Recipe: shown}, err
		}
	}
	return nil, apierror.NotFound(req.GetName())
}

// slicePage gives a page of a list that stays as it is while the service runs: the token counts.
func slicePage[T any](all []T, size int32, token string) (page []T, next string, err error) {
	from, err := readNumberToken(token)
	if err != nil {
		return nil, "", err
	}
	if from > int64(len(all)) {
		return nil, "", apierror.PageToken()
	}
	page = all[from:]
	if size > 0 && int(size) < len(page) {
		page = page[:size]
		next = pageToken(fmt.Sprint(from + int64(size)))
	}
	return page, next, nil
}

var parameterTypes = map[recipe.Type]trainingv1.Parameter_Type{
	recipe.Integer: trainingv1.Parameter_INTEGER,
	recipe.Float:   trainingv1.Parameter_FLOAT,
	recipe.Boolean: trainingv1.Parameter_BOOLEAN,
	recipe.Choice:  trainingv1.Parameter_CHOICE,
}

var inputModes = map[recipe.InputMode]trainingv1.InputMode{
	recipe.File:     trainingv1.InputMode_FILE,
	recipe.FastFile: trainingv1.InputMode_FAST_FILE,
	recipe.Pipe:     trainingv1.InputMode_PIPE,
}

func (s *Catalog) recipe(r *recipe.Recipe) (*trainingv1.Recipe, error) {
	shown := &trainingv1.Recipe{
		Name:                job.RecipeName(r.ID),
		DisplayName:         r.DisplayName,
		Description:         r.Description,
		ObjectiveMetric:     r.Objective,
		DefaultInstanceType: s.Launcher.InstanceType(r),
		Distributed:         r.Distributed,
	}
	for _, mode := range r.InputModes {
		shown.InputModes = append(shown.InputModes, inputModes[mode].String())
	}
	for _, m := range r.Metrics {
		shown.Metrics = append(shown.Metrics, m.Name)
	}
	for _, p := range r.Parameters {
		byDefault, err := structpb.NewValue(p.Default)
		if err != nil {
			return nil, fmt.Errorf("recipe %s, parameter %s: %w", r.ID, p.Name, err)
		}
		minimum := p.Min
		if p.ZeroMeans != "" {
			minimum = min(minimum, 0) // A form must let 0 through.
		}
		shown.Parameters = append(shown.Parameters, &trainingv1.Parameter{
			Name: p.Name, DisplayName: p.DisplayName, Description: p.Description, Type: parameterTypes[p.Type],
			Minimum: minimum, Maximum: p.Max, Choices: p.Choices, DefaultValue: byDefault,
		})
	}
	return shown, nil
}
